/* Kokoro's tensors from any file under canonical names; see layout.h. Creating the table reads
 * names and shapes only; values are folded, assembled and dequantized one tensor at a time. Whether
 * a shape suits the network is the business of whoever asks for the tensor. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "base/sort.h"
#include "models/kokoro/layout_names.h"
#include "weights/table.h"

struct item {
    struct ut_tensor made; /* first: a tensor handed out leads back to its item */
    bool is_made;
    float *values; /* what `made` shows where it had to be computed, else NULL */
    char name[KOKORO_NAME_SIZE];
    enum kokoro_join join;
    int n_parts, n_dims;
    uint64_t dims[UT_MAX_DIMS]; /* of the canonical tensor */
    const struct ut_tensor *parts[KOKORO_MAX_PARTS];
};

struct ut_kokoro_tensors {
    struct ut_mem *mem;
    const struct ut_weights *weights;
    enum ut_kokoro_layout layout;
    struct item *items; /* sorted by name */
    size_t n_items;
};

/* ---- Whose file is it ----------------------------------------------------------------------- */

static const char ttscpp_anchor[] = "kokoro.duration_predictor.encode";

static bool has_either_spelling(const struct ut_weights *weights, const char *part,
                                const char *key) {
    static const char *const between[] = {".", ".module.", "/", "/module."};
    for (size_t i = 0; i < UT_COUNT(between); i++) {
        char name[KOKORO_NAME_SIZE];
        snprintf(name, sizeof name, "%s%s%s", part, between[i], key);
        if (ut_weights_find(weights, name)) {
            return true;
        }
    }
    return false;
}

/* What a GGUF file says about itself; NULL for other formats and when it says nothing. */
static const char *architecture_of(const struct ut_weights *weights) {
    const char *key, *value;
    size_t n = ut_weights_format(weights) == UT_FORMAT_GGUF ? ut_weights_n_metadata(weights) : 0;
    for (size_t i = 0; i < n; i++) {
        ut_weights_metadata(weights, i, &key, &value);
        if (strcmp(key, "general.architecture") == 0) {
            return value;
        }
    }
    return NULL;
}

bool ut_kokoro_detect(const struct ut_weights *weights) {
    const char *architecture = architecture_of(weights);
    if (architecture) {
        return strcmp(architecture, UT_KOKORO_GGUF_ARCHITECTURE) == 0;
    }
    return has_either_spelling(weights, "bert_encoder", "weight") &&
           has_either_spelling(weights, "predictor", "duration_proj.linear_layer.weight") &&
           has_either_spelling(weights, "text_encoder", "embedding.weight");
}

static enum ut_kokoro_layout layout_of(const struct ut_weights *weights) {
    if (ut_weights_find(weights, ttscpp_anchor)) {
        return UT_KOKORO_TTSCPP;
    }
    return ut_weights_find(weights, "bert.layer.attention.query.weight") ? UT_KOKORO_PLAIN
                                                                         : UT_KOKORO_TORCH;
}

/* ---- Shapes --------------------------------------------------------------------------------- */

static void print_dims(char out[96], const uint64_t *dims, int n_dims) {
    size_t n = 0;
    out[n++] = '[';
    for (int i = 0; i < n_dims; i++) {
        n +=
            (size_t)snprintf(out + n, 96 - n, "%s%llu", i ? ", " : "", (unsigned long long)dims[i]);
    }
    snprintf(out + n, 96 - n, "]");
}

/* The dimensions of a file's tensor as n_dims of them. GGUF tools drop the slowest dimensions where
 * they are 1, or fill up with them; nothing else is forgiven. */
static bool fit_dims(const struct ut_tensor *tensor, bool is_gguf, int n_dims,
                     uint64_t dims[UT_MAX_DIMS]) {
    int n_found = tensor->n_dims, n_dropped = 0;
    while (is_gguf && n_found - n_dropped > n_dims && tensor->dims[n_dropped] == 1) {
        n_dropped++;
    }
    n_found -= n_dropped;
    int n_added = n_dims - n_found;
    if (n_added < 0 || (n_added > 0 && !is_gguf)) {
        return false;
    }
    for (int i = 0; i < UT_MAX_DIMS; i++) {
        bool is_stored = i >= n_added && i < n_dims;
        dims[i] = is_stored ? tensor->dims[n_dropped + i - n_added] : 1;
    }
    return true;
}

static utter_status fail_different(const struct item *item, int part, const uint64_t *dims,
                                   utter_error *err) {
    char first[96], other[96];
    print_dims(first, item->dims, item->n_dims);
    print_dims(other, dims, item->n_dims);
    return ut_fail(err, UTTER_ERROR_FORMAT,
                   "tensor %s has the shape %s and %s, which belongs below it, %s: they must be "
                   "equal",
                   item->parts[0]->name, first, item->parts[part]->name, other);
}

static utter_status shape_item(struct item *item, bool is_gguf, utter_error *err) {
    int first = item->join == KOKORO_NORM ? 1 : 0;
    uint64_t dims[UT_MAX_DIMS];
    for (int i = first; i < item->n_parts; i++) {
        const struct ut_tensor *part = item->parts[i];
        if (!fit_dims(part, is_gguf, item->n_dims, dims)) {
            return ut_fail(err, UTTER_ERROR_FORMAT, "tensor %s has %d dimensions, expected %d",
                           part->name, part->n_dims, item->n_dims);
        }
        if (i == first) {
            memcpy(item->dims, dims, sizeof dims);
        } else if (memcmp(item->dims, dims, sizeof dims) != 0) {
            return fail_different(item, i, dims, err);
        }
    }
    struct ut_tensor whole;
    if (item->join == KOKORO_NORM && ut_tensor_n_elements(item->parts[0]) != item->dims[0]) {
        return ut_fail(err, UTTER_ERROR_FORMAT, "tensor %s has %llu values for %llu rows of %s",
                       item->parts[0]->name,
                       (unsigned long long)ut_tensor_n_elements(item->parts[0]),
                       (unsigned long long)item->dims[0], item->parts[1]->name);
    }
    if (item->join == KOKORO_ROWS &&
        !ut_mul_u64(item->dims[0], (uint64_t)item->n_parts, &item->dims[0])) {
        item->dims[0] = UINT64_MAX; /* too much for the check below as well */
    }
    return ut_tensor_set_shape(&whole, UT_F32, item->dims, item->n_dims)
               ? UTTER_OK
               : ut_fail(err, UTTER_ERROR_FORMAT, "tensor %s is too large", item->name);
}

/* ---- The table ------------------------------------------------------------------------------ */

struct piece {
    struct kokoro_name as;
    const struct ut_tensor *tensor;
};

static int compare_pieces(uint32_t a, uint32_t b, const void *context) {
    const struct piece *pieces = context;
    int order = strcmp(pieces[a].as.name, pieces[b].as.name);
    return order ? order : strcmp(pieces[a].tensor->name, pieces[b].tensor->name);
}

static utter_status add_piece(struct ut_kokoro_tensors *tensors, const struct piece *piece,
                              utter_error *err) {
    struct item *item = tensors->n_items ? &tensors->items[tensors->n_items - 1] : NULL;
    if (!item || strcmp(item->name, piece->as.name) != 0) {
        item = &tensors->items[tensors->n_items++];
        strcpy(item->name, piece->as.name);
        item->join = piece->as.join;
        item->n_parts = piece->as.n_parts;
        item->n_dims = piece->as.n_dims;
    } else if (item->join != piece->as.join || item->parts[piece->as.part]) {
        const struct ut_tensor *other = NULL;
        for (int i = 0; i < item->n_parts && !other; i++) {
            other = item->parts[i];
        }
        return ut_fail(err, UTTER_ERROR_FORMAT, "tensor %s stands twice: as %s and as %s",
                       item->name, other->name, piece->tensor->name);
    }
    item->parts[piece->as.part] = piece->tensor;
    return UTTER_OK;
}

static utter_status check_whole(const struct item *item, utter_error *err) {
    int n_found = 0;
    const struct ut_tensor *found = NULL;
    for (int i = 0; i < item->n_parts; i++) {
        n_found += item->parts[i] != NULL;
        found = item->parts[i] ? item->parts[i] : found;
    }
    return n_found == item->n_parts
               ? UTTER_OK
               : ut_fail(err, UTTER_ERROR_FORMAT,
                         "the file has %d of the %d tensors that make up %s (one is %s)", n_found,
                         item->n_parts, item->name, found->name);
}

/* The index of the first item whose name is not less. */
static size_t lower_bound(const struct ut_kokoro_tensors *tensors, const char *name) {
    size_t low = 0, high = tensors->n_items;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(tensors->items[middle].name, name) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static utter_status check_parts(const struct ut_kokoro_tensors *tensors, utter_error *err) {
    static const char *const parts[] = {"bert.", "bert_encoder.", "decoder.", "predictor.",
                                        "text_encoder."};
    for (size_t i = 0; i < UT_COUNT(parts); i++) {
        size_t at = lower_bound(tensors, parts[i]), n = strlen(parts[i]);
        if (at == tensors->n_items || strncmp(tensors->items[at].name, parts[i], n) != 0) {
            return ut_fail(err, UTTER_ERROR_FORMAT,
                           "the file has no tensor of the part \"%.*s\": it is no whole Kokoro "
                           "model",
                           (int)n - 1, parts[i]);
        }
    }
    return UTTER_OK;
}

/* Groups the pieces, in the order of their canonical names, into items. */
static utter_status build_items(struct ut_kokoro_tensors *tensors, const struct piece *pieces,
                                const uint32_t *order, size_t n, utter_error *err) {
    bool is_gguf = ut_weights_format(tensors->weights) == UT_FORMAT_GGUF;
    tensors->items = ut_mem_calloc(tensors->mem, UT_MEM_WEIGHTS, n, sizeof *tensors->items);
    if (!tensors->items) {
        return ut_fail_memory(err, n * sizeof *tensors->items);
    }
    utter_status status = UTTER_OK;
    for (size_t i = 0; i < n && status == UTTER_OK; i++) {
        status = add_piece(tensors, &pieces[order[i]], err);
    }
    for (size_t i = 0; i < tensors->n_items && status == UTTER_OK; i++) {
        status = check_whole(&tensors->items[i], err);
        status = status ? status : shape_item(&tensors->items[i], is_gguf, err);
    }
    return status ? status : check_parts(tensors, err);
}

static utter_status read_names(struct ut_kokoro_tensors *tensors, utter_error *err) {
    size_t n_tensors = ut_weights_count(tensors->weights), n = 0;
    struct piece *pieces = ut_mem_calloc(tensors->mem, UT_MEM_OTHER, n_tensors, sizeof *pieces);
    uint32_t *order = ut_mem_calloc(tensors->mem, UT_MEM_OTHER, n_tensors, sizeof *order);
    utter_status status = pieces && order ? UTTER_OK : ut_fail_memory(err, n_tensors);
    for (size_t i = 0; i < n_tensors && status == UTTER_OK; i++) {
        pieces[n].tensor = ut_weights_at(tensors->weights, i);
        if (ut_kokoro_name_read(tensors->layout, pieces[n].tensor->name, &pieces[n].as)) {
            order[n] = (uint32_t)n;
            n++;
        }
    }
    if (status == UTTER_OK) {
        ut_sort_u32(order, n, compare_pieces, pieces);
        status = build_items(tensors, pieces, order, n, err);
    }
    ut_mem_free(tensors->mem, pieces);
    ut_mem_free(tensors->mem, order);
    return status;
}

utter_status ut_kokoro_tensors_create(struct ut_mem *mem, const struct ut_weights *weights,
                                      struct ut_kokoro_tensors **out, utter_error *err) {
    *out = NULL;
    struct ut_kokoro_tensors *tensors = ut_mem_calloc(mem, UT_MEM_OTHER, 1, sizeof *tensors);
    if (!tensors) {
        return ut_fail_memory(err, sizeof *tensors);
    }
    tensors->mem = mem;
    tensors->weights = weights;
    tensors->layout = layout_of(weights);
    utter_status status = read_names(tensors, err);
    if (status) {
        ut_kokoro_tensors_destroy(tensors);
        return status;
    }
    *out = tensors;
    return UTTER_OK;
}

void ut_kokoro_tensors_destroy(struct ut_kokoro_tensors *tensors) {
    if (!tensors) {
        return;
    }
    for (size_t i = 0; i < tensors->n_items; i++) {
        ut_mem_free(tensors->mem, tensors->items[i].values);
    }
    ut_mem_free(tensors->mem, tensors->items);
    ut_mem_free(tensors->mem, tensors);
}

enum ut_kokoro_layout ut_kokoro_tensors_layout(const struct ut_kokoro_tensors *tensors) {
    return tensors->layout;
}

size_t ut_kokoro_tensors_count(const struct ut_kokoro_tensors *tensors) {
    return tensors->n_items;
}

const char *ut_kokoro_tensors_name(const struct ut_kokoro_tensors *tensors, size_t index) {
    return tensors->items[index].name;
}

/* ---- Values --------------------------------------------------------------------------------- */

static utter_status to_f32(const struct ut_tensor *tensor, float *dst, utter_error *err) {
    return ut_tensor_to_f32(tensor, dst)
               ? UTTER_OK
               : ut_fail(err, UTTER_ERROR_FORMAT,
                         "tensor %s is of type %s, expected a floating-point or quantized one",
                         tensor->name, ut_dtype_name(tensor->type));
}

/* w = g * v / |v|, the norm over all dimensions but the first (the input channels of a transposed
 * convolution), as torch.nn.utils.weight_norm with dim 0. In double, rounded once. */
static utter_status fold(const struct item *item, const float *magnitudes, utter_error *err) {
    size_t n_rows = (size_t)item->dims[0];
    size_t n = n_rows ? (size_t)ut_tensor_n_elements(item->parts[1]) / n_rows : 0;
    for (size_t r = 0; r < n_rows; r++) {
        float *row = item->values + r * n;
        double sum = 0;
        for (size_t i = 0; i < n; i++) {
            sum += (double)row[i] * row[i];
        }
        if (sum == 0) {
            return ut_fail(err, UTTER_ERROR_FORMAT,
                           "tensor %s: row %zu is all zero, weight norm has no direction to scale",
                           item->parts[1]->name, r);
        }
        double scale = magnitudes[r] / sqrt(sum);
        for (size_t i = 0; i < n; i++) {
            row[i] = (float)(scale * row[i]);
        }
    }
    return UTTER_OK;
}

static utter_status fill_values(struct item *item, float *behind, utter_error *err) {
    if (item->join == KOKORO_NORM) {
        utter_status status = to_f32(item->parts[1], item->values, err);
        status = status ? status : to_f32(item->parts[0], behind, err);
        return status ? status : fold(item, behind, err);
    }
    float *dst = item->values;
    utter_status status = UTTER_OK;
    for (int i = 0; i < item->n_parts && status == UTTER_OK; i++) {
        status = to_f32(item->parts[i], dst, err);
        dst += ut_tensor_n_elements(item->parts[i]);
    }
    return status;
}

static utter_status compute(struct ut_mem *mem, struct item *item, utter_error *err) {
    /* Weight norm's magnitudes come behind the values while they are needed. */
    size_t n = item->made.n_bytes / sizeof(float), n_bytes = item->made.n_bytes;
    size_t n_behind = item->join == KOKORO_NORM ? (size_t)item->dims[0] : 0;
    if (!ut_add_size(n_bytes, n_behind * sizeof(float), &n_bytes)) {
        return ut_fail_memory(err, n_bytes);
    }
    item->values = ut_mem_alloc(mem, UT_MEM_WEIGHTS, n_bytes);
    if (!item->values) {
        return ut_fail_memory(err, n_bytes);
    }
    utter_status status = fill_values(item, item->values + n, err);
    if (status) {
        ut_mem_free(mem, item->values);
        item->values = NULL;
    }
    item->made.data = item->values;
    return status;
}

static struct item *find_item(const struct ut_kokoro_tensors *tensors, const char *name) {
    size_t at = lower_bound(tensors, name);
    bool is_found = at < tensors->n_items && strcmp(tensors->items[at].name, name) == 0;
    return is_found ? &tensors->items[at] : NULL;
}

bool ut_kokoro_tensor_exists(const struct ut_kokoro_tensors *tensors, const char *name) {
    return find_item(tensors, name) != NULL;
}

/* The steps of a tensor in 8 bits, NAME.scale in the file. */
static const struct ut_tensor *find_scale(const struct ut_kokoro_tensors *tensors,
                                          const struct item *item) {
    char name[KOKORO_NAME_SIZE + 8];
    int n = snprintf(name, sizeof name, "%s.scale", item->parts[0]->name);
    return n < (int)sizeof name ? ut_weights_find(tensors->weights, name) : NULL;
}

const struct ut_tensor *ut_kokoro_tensor_scale(const struct ut_kokoro_tensors *tensors,
                                               const struct ut_tensor *tensor) {
    return tensor->type == UT_I8 ? find_scale(tensors, (const struct item *)(const void *)tensor)
                                 : NULL;
}

utter_status ut_kokoro_tensor_get(struct ut_kokoro_tensors *tensors, const char *name,
                                  const struct ut_tensor **out, utter_error *err) {
    struct item *item = find_item(tensors, name);
    *out = NULL;
    if (!item) {
        return ut_fail(err, UTTER_ERROR_FORMAT,
                       "tensor %s is missing: the file holds no whole Kokoro model", name);
    }
    if (!item->is_made) {
        enum ut_dtype type = item->parts[0]->type;
        if (type != UT_I8 && find_scale(tensors, item)) {
            return ut_fail(err, UTTER_ERROR_FORMAT,
                           "tensor %s.scale belongs to weights in 8 bits, %s is %s",
                           item->parts[0]->name, item->parts[0]->name, ut_dtype_name(type));
        }
        bool is_view = item->join == KOKORO_WHOLE &&
                       (type == UT_F32 || type == UT_F16 || type == UT_BF16 || type == UT_I8);
        item->made = (struct ut_tensor){.name = item->name};
        if (!ut_tensor_set_shape(&item->made, is_view ? type : UT_F32, item->dims, item->n_dims)) {
            return ut_fail(err, UTTER_ERROR_FORMAT, "tensor %s is too large", name);
        }
        item->made.data = item->parts[0]->data;
        utter_status status = is_view ? UTTER_OK : compute(tensors->mem, item, err);
        if (status) {
            return status;
        }
        item->is_made = true;
    }
    *out = &item->made;
    return UTTER_OK;
}

void ut_kokoro_tensor_drop(struct ut_kokoro_tensors *tensors, const struct ut_tensor *tensor) {
    size_t index = (size_t)((const struct item *)(const void *)tensor - tensors->items);
    struct item *item = &tensors->items[index];
    ut_mem_free(tensors->mem, item->values);
    item->values = NULL;
    item->is_made = false;
    for (int i = 0; i < item->n_parts; i++) {
        ut_weights_release(tensors->weights, item->parts[i]);
    }
}
