/* From the objects of a torch pickle to the table: the names that nested maps give to tensors, and
 * each tensor's place in its storage. What is no tensor is passed over. */
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "base/sort.h"
#include "base/utf8.h"
#include "weights/torch_reader.h"

/* MAX_STEPS bounds the walk over maps that share maps: thirty levels of two references to the next
 * would otherwise be 2^30 names in a file of a few hundred bytes. */
enum { MAX_LEVELS = 64, MAX_NAME = 1024, MAX_STEPS = 4 << 20 };

/* In ut_pickle_object.marks. */
enum {
    MARK_ON_PATH = 1,
    MARK_BARREN = 2, /* was walked over, and there is no tensor below */
    MARK_CHECKED = 4 /* no key stands twice */
};

/* A container on the path from the root to where the walk is: the stack of a recursion that the
 * input must not drive. */
struct level {
    uint32_t object, cell;
    uint32_t index;   /* of the next item */
    uint32_t blocked; /* the object that a tensor may not be below; 0: none */
    size_t n_name;
    uint64_t n_found; /* when it was entered */
};

/* A tensor and its name, in the order in which the walk met them. */
struct found {
    struct found *next;
    uint32_t object;
    const char *name;
};

/* About 3 kB; in scratch, as it is too large to be handed around by value. */
struct walk {
    struct ut_torch_reader *r;
    const struct ut_pickle *pickle;
    struct level levels[MAX_LEVELS];
    int n_levels;
    char name[MAX_NAME];
    uint32_t n_steps;
    uint32_t *keys; /* room for all cells */
    struct found *first, **end;
    uint64_t n_found;
};

static size_t file_offset(const struct walk *w, uint32_t object) {
    return w->pickle->file_offset + ut_pickle_object(w->pickle, object)->at;
}

/* ---- Names ---------------------------------------------------------------------------------- */

/* OPAQUE, too: a tensor inside one is an error that must be found. */
static bool is_container(const struct ut_pickle_object *object) {
    return object->kind == UT_PICKLE_TUPLE || object->kind == UT_PICKLE_LIST ||
           object->kind == UT_PICKLE_SET || object->kind == UT_PICKLE_MAP ||
           object->kind == UT_PICKLE_OPAQUE;
}

/* By kind, then by value. The number 1 and the text "1" differ here, though they would give the
 * same name: ut_table_index finds that. */
static int compare_keys(uint32_t a, uint32_t b, const void *context) {
    const struct ut_pickle *pickle = context;
    const struct ut_pickle_object *x = ut_pickle_object(pickle, a),
                                  *y = ut_pickle_object(pickle, b);
    if (x->kind != y->kind) {
        return x->kind < y->kind ? -1 : 1;
    }
    if (x->kind == UT_PICKLE_INTEGER) {
        return (x->integer > y->integer) - (x->integer < y->integer);
    }
    size_t n_x, n_y;
    const char *text_x = ut_pickle_text(pickle, a, &n_x), *text_y = ut_pickle_text(pickle, b, &n_y);
    int order = memcmp(text_x, text_y, UT_MIN(n_x, n_y));
    return order ? order : (n_x > n_y) - (n_x < n_y);
}

static utter_status fail_twice(const struct walk *w, uint32_t number) {
    size_t n;
    const char *key = ut_pickle_text(w->pickle, number, &n);
    char digits[24];
    if (!key) {
        n = (size_t)snprintf(digits, sizeof digits, "%lld",
                             (long long)ut_pickle_object(w->pickle, number)->integer);
        key = digits;
    }
    return ut_fail(w->r->err, UTTER_ERROR_FORMAT, "key \"%.*s\" stands twice at byte %zu",
                   (int)UT_MIN(n, 100), key, file_offset(w, number));
}

/* Of two equal keys Python keeps the last; a file that has them was not written by it. */
static utter_status check_keys(struct walk *w, struct ut_pickle_object *map) {
    size_t n = 0;
    for (uint32_t c = map->first; c; c = ut_pickle_cell(w->pickle, c)->next) {
        uint32_t key = ut_pickle_cell(w->pickle, c)->key;
        uint8_t kind = ut_pickle_object(w->pickle, key)->kind;
        if (kind == UT_PICKLE_STRING || kind == UT_PICKLE_INTEGER) {
            w->keys[n++] = key;
        }
    }
    ut_sort_u32(w->keys, n, compare_keys, w->pickle);
    for (size_t i = 1; i < n; i++) {
        if (compare_keys(w->keys[i - 1], w->keys[i], w->pickle) == 0) {
            return fail_twice(w, w->keys[i]);
        }
    }
    map->marks |= MARK_CHECKED;
    return UTTER_OK;
}

/* Puts "/part" (at the top "part") behind the level's name; *n_name is its end. */
static utter_status append_name(struct walk *w, const struct level *level, const char *part,
                                size_t n_part, size_t *n_name) {
    size_t n = level->n_name, n_slash = w->n_levels > 1;
    if (n_part > sizeof w->name - n - n_slash) {
        return ut_fail(w->r->err, UTTER_ERROR_FORMAT,
                       "\"%.*s\": below it is a name that makes more than %d bytes",
                       (int)UT_MIN(n, 100), w->name, MAX_NAME);
    }
    if (n_slash) {
        w->name[n++] = '/';
    }
    memcpy(w->name + n, part, n_part);
    *n_name = n + n_part;
    return UTTER_OK;
}

/* The name of an item; what cannot be part of one is left in *blocked. */
static utter_status name_item(struct walk *w, const struct level *level, uint32_t key,
                              size_t *n_name, uint32_t *blocked) {
    char digits[24];
    size_t n_text = 0;
    uint8_t kind = ut_pickle_object(w->pickle, level->object)->kind;
    int64_t number = level->index;
    const char *text = NULL;
    *n_name = level->n_name;
    if (*blocked) {
        return UTTER_OK;
    }
    if (kind == UT_PICKLE_OPAQUE || kind == UT_PICKLE_SET) {
        *blocked = level->object;
        return UTTER_OK;
    }
    if (kind == UT_PICKLE_MAP) {
        const struct ut_pickle_object *object = ut_pickle_object(w->pickle, key);
        if (object->kind != UT_PICKLE_STRING && object->kind != UT_PICKLE_INTEGER) {
            *blocked = key;
            return UTTER_OK;
        }
        text = ut_pickle_text(w->pickle, key, &n_text);
        number = object->integer;
    }
    if (!text) {
        n_text = (size_t)snprintf(digits, sizeof digits, "%lld", (long long)number);
        text = digits;
    }
    return append_name(w, level, text, n_text, n_name);
}

static utter_status fail_blocked(const struct walk *w, uint32_t blocked) {
    const struct ut_pickle_object *object = ut_pickle_object(w->pickle, blocked);
    const char *what =
        object->kind == UT_PICKLE_SET ? "in a set" : "below a key that is neither text nor number";
    char name[160];
    if (object->kind == UT_PICKLE_OPAQUE) {
        ut_pickle_global_name(w->pickle, ut_pickle_cell(w->pickle, object->first)->key, name,
                              sizeof name);
        return ut_fail(w->r->err, UTTER_ERROR_UNSUPPORTED,
                       "a tensor inside %s at byte %zu, which is not read: save a dictionary of "
                       "tensors (state_dict)",
                       name, file_offset(w, blocked));
    }
    return ut_fail(w->r->err, UTTER_ERROR_FORMAT, "a tensor %s, at byte %zu", what,
                   file_offset(w, blocked));
}

/* ---- The walk ------------------------------------------------------------------------------- */

static utter_status add_found(struct walk *w, uint32_t object, size_t n_name, uint32_t blocked) {
    if (blocked) {
        return fail_blocked(w, blocked);
    }
    struct ut_blocks *blocks = &w->r->weights->blocks;
    struct found *found = ut_blocks_alloc(blocks, 1, sizeof *found, w->r->err);
    char *name = found ? ut_blocks_strndup(blocks, w->name, n_name, w->r->err) : NULL;
    if (!name) {
        return blocks->status;
    }
    if (strlen(name) != n_name || !ut_utf8_valid(name, n_name)) {
        return ut_fail(w->r->err, UTTER_ERROR_FORMAT,
                       "tensor \"%.100s\": a name with invalid UTF-8 or a NUL", name);
    }
    *found = (struct found){.object = object, .name = name};
    *w->end = found;
    w->end = &found->next;
    w->n_found++;
    return UTTER_OK;
}

/* A container is entered unless it is known to hold no tensor. One that lies inside itself (as the
 * nodes of omegaconf do) names nothing new there. */
static utter_status enter(struct walk *w, uint32_t number, size_t n_name, uint32_t blocked) {
    struct ut_pickle_object *object = ut_pickle_object(w->pickle, number);
    if (!is_container(object) || object->marks & (MARK_BARREN | MARK_ON_PATH)) {
        return UTTER_OK;
    }
    if (w->n_levels == MAX_LEVELS) {
        return ut_fail(w->r->err, UTTER_ERROR_FORMAT, "nested more than %d levels deep at byte %zu",
                       MAX_LEVELS, file_offset(w, number));
    }
    if (object->kind == UT_PICKLE_MAP && !(object->marks & MARK_CHECKED)) {
        utter_status status = check_keys(w, object);
        if (status) {
            return status;
        }
    }
    object->marks |= MARK_ON_PATH;
    w->levels[w->n_levels++] = (struct level){.object = number,
                                              .cell = object->first,
                                              .blocked = blocked,
                                              .n_name = n_name,
                                              .n_found = w->n_found};
    return UTTER_OK;
}

static utter_status visit(struct walk *w, uint32_t number, size_t n_name, uint32_t blocked) {
    return ut_pickle_object(w->pickle, number)->kind == UT_PICKLE_TENSOR
               ? add_found(w, number, n_name, blocked)
               : enter(w, number, n_name, blocked);
}

/* BARREN only if nothing was found since the container was entered: it is then never walked
 * again. */
static void leave(struct walk *w) {
    const struct level *level = &w->levels[--w->n_levels];
    struct ut_pickle_object *object = ut_pickle_object(w->pickle, level->object);
    object->marks &= (uint8_t)~MARK_ON_PATH;
    object->marks |= w->n_found == level->n_found ? MARK_BARREN : 0;
}

/* Goes on with the innermost container by one item. What is shared is walked over each time, since
 * it has another name each time: the number of steps is bounded. */
static utter_status step(struct walk *w) {
    struct level *level = &w->levels[w->n_levels - 1];
    if (level->cell == 0) {
        leave(w);
        return UTTER_OK;
    }
    if (++w->n_steps > MAX_STEPS) {
        return ut_fail(w->r->err, UTTER_ERROR_FORMAT,
                       "maps that share maps hold more than %d items", MAX_STEPS);
    }
    const struct ut_pickle_cell *cell = ut_pickle_cell(w->pickle, level->cell);
    size_t n_name;
    uint32_t blocked = level->blocked;
    const struct ut_pickle_object *value = ut_pickle_object(w->pickle, cell->value);
    utter_status status = UTTER_OK;
    level->cell = cell->next;
    if (value->kind == UT_PICKLE_TENSOR || is_container(value)) {
        status = name_item(w, level, cell->key, &n_name, &blocked);
        level->index++;
        return status ? status : visit(w, cell->value, n_name, blocked);
    }
    level->index++;
    return UTTER_OK;
}

/* ---- Tensors -------------------------------------------------------------------------------- */

static utter_status fail_tensor(const struct ut_torch_reader *r, const struct ut_tensor *tensor,
                                uint32_t object, const char *what) {
    return ut_fail(r->err, UTTER_ERROR_FORMAT, "tensor \"%.100s\": %s, at byte %zu", tensor->name,
                   what, r->pickle.file_offset + ut_pickle_object(&r->pickle, object)->at);
}

/* How many there are, more than UT_MAX_DIMS perhaps; -1 when one is no size. */
static int read_sizes(const struct ut_pickle *pickle, uint32_t tuple, uint64_t sizes[UT_MAX_DIMS]) {
    uint32_t items[UT_MAX_DIMS];
    if (ut_pickle_object(pickle, tuple)->kind != UT_PICKLE_TUPLE) {
        return -1;
    }
    int n = (int)ut_pickle_items(pickle, tuple, items, UT_MAX_DIMS);
    for (int i = 0; i < UT_MIN(n, UT_MAX_DIMS); i++) {
        const struct ut_pickle_object *object = ut_pickle_object(pickle, items[i]);
        if (object->kind != UT_PICKLE_INTEGER || object->integer < 0) {
            return -1;
        }
        sizes[i] = (uint64_t)object->integer;
    }
    return n;
}

/* Where a tensor lies in its storage, in elements. */
struct layout {
    uint64_t offset, strides[UT_MAX_DIMS];
};

/* Whether offset and strides keep every element within the storage. The last one is at offset + sum
 * of (dim - 1) * stride: no dimension is 0 here, and neither product nor sum may wrap. */
static bool is_within(const struct ut_tensor *tensor, const struct layout *layout,
                      uint64_t n_elements) {
    uint64_t last = layout->offset, span;
    for (int d = 0; d < tensor->n_dims; d++) {
        if (!ut_mul_u64(tensor->dims[d] - 1, layout->strides[d], &span) ||
            !ut_add_u64(last, span, &last)) {
            return false;
        }
    }
    return last < n_elements;
}

/* Strides of dimensions of 1 say nothing and may be any number. */
static bool is_row_major(const struct ut_tensor *tensor, const struct layout *layout) {
    uint64_t expected = 1;
    for (int d = tensor->n_dims - 1; d >= 0; d--) {
        if (tensor->dims[d] != 1 && layout->strides[d] != expected) {
            return false;
        }
        expected *= tensor->dims[d];
    }
    return true;
}

/* Copies the elements in row-major order. Of the four nested dimensions the last is the row. */
static void gather(const struct ut_tensor *tensor, const struct layout *layout, const uint8_t *from,
                   uint8_t *to) {
    size_t n_bytes = ut_dtype_size(tensor->type);
    const uint64_t *dims = tensor->dims, *strides = layout->strides;
    for (uint64_t i = 0; i < dims[0]; i++) {
        for (uint64_t j = 0; j < dims[1]; j++) {
            for (uint64_t k = 0; k < dims[2]; k++) {
                const uint8_t *row =
                    from + (i * strides[0] + j * strides[1] + k * strides[2]) * n_bytes;
                for (uint64_t l = 0; l < dims[3]; l++) {
                    memcpy(to, row + l * strides[3] * n_bytes, n_bytes);
                    to += n_bytes;
                }
            }
        }
    }
}

/* A row-major tensor is a view of the file; others (transposed, expanded) are copied. The blocks'
 * limit bounds what an expanded one can ask for. */
static utter_status place(struct ut_torch_reader *r, uint32_t object, const struct layout *layout,
                          const struct ut_torch_storage *storage, struct ut_tensor *tensor) {
    size_t n_bytes = ut_dtype_size(tensor->type);
    tensor->data = storage->data;
    if (tensor->n_bytes == 0) {
        return UTTER_OK; /* an empty slice may begin behind its storage */
    }
    uint64_t n_elements = storage->is_untyped ? storage->n_elements / n_bytes : storage->n_elements;
    if (!is_within(tensor, layout, n_elements)) {
        return fail_tensor(r, tensor, object, "offset, size and strides go beyond the storage");
    }
    const uint8_t *from = storage->data + layout->offset * n_bytes;
    if (is_row_major(tensor, layout)) {
        tensor->data = from;
        return UTTER_OK;
    }
    uint8_t *copy = ut_blocks_alloc(&r->weights->blocks, tensor->n_bytes, 1, r->err);
    if (!copy) {
        return r->weights->blocks.status;
    }
    gather(tensor, layout, from, copy);
    tensor->data = copy;
    return UTTER_OK;
}

/* How a tensor is rebuilt, by the name of the function: (storage, offset, size, stride) and, from
 * version 2 on, (requires_grad, hooks), in version 3 the type, and perhaps metadata. */
static const struct rebuild {
    const char *function;
    size_t min_arguments, max_arguments;
    bool has_type;
} rebuilds[] = {
    {"_rebuild_tensor", 4, 4, false},
    {"_rebuild_tensor_v2", 6, 7, false},
    {"_rebuild_tensor_v3", 7, 8, true},
};
enum { ARGUMENT_STORAGE, ARGUMENT_OFFSET, ARGUMENT_SIZE, ARGUMENT_STRIDE, ARGUMENT_TYPE = 6 };
enum { MAX_ARGUMENTS = 8 };

/* Both name and number of arguments must fit; *has_type is set for version 3 only. */
static utter_status read_arguments(const struct ut_torch_reader *r, uint32_t object,
                                   const struct ut_tensor *tensor, uint32_t *arguments,
                                   bool *has_type) {
    const struct ut_pickle *pickle = &r->pickle;
    const struct ut_pickle_cell *call =
        ut_pickle_cell(pickle, ut_pickle_object(pickle, object)->first);
    size_t n = ut_pickle_items(pickle, call->value, arguments, MAX_ARGUMENTS);
    for (size_t i = 0; i < UT_COUNT(rebuilds); i++) {
        if (ut_pickle_global_is(pickle, call->key, "torch._utils", rebuilds[i].function) &&
            n >= rebuilds[i].min_arguments && n <= rebuilds[i].max_arguments) {
            *has_type = rebuilds[i].has_type;
            return UTTER_OK;
        }
    }
    return fail_tensor(r, tensor, object, "a number of arguments that makes no tensor");
}

/* Offset, sizes and strides; the type is known. */
static utter_status read_layout(const struct ut_torch_reader *r, uint32_t object,
                                const uint32_t *arguments, enum ut_dtype type,
                                struct layout *layout, struct ut_tensor *tensor) {
    const struct ut_pickle *pickle = &r->pickle;
    const struct ut_pickle_object *offset = ut_pickle_object(pickle, arguments[ARGUMENT_OFFSET]);
    uint64_t dims[UT_MAX_DIMS];
    int n_dims = read_sizes(pickle, arguments[ARGUMENT_SIZE], dims);
    *layout = (struct layout){.offset = (uint64_t)offset->integer};
    if (offset->kind != UT_PICKLE_INTEGER || offset->integer < 0 || n_dims < 0 ||
        read_sizes(pickle, arguments[ARGUMENT_STRIDE], layout->strides) != n_dims) {
        return fail_tensor(r, tensor, object, "offset, size and strides are not sizes");
    }
    if (n_dims > UT_MAX_DIMS) {
        return ut_fail(r->err, UTTER_ERROR_UNSUPPORTED,
                       "tensor \"%.100s\": more than %d dimensions", tensor->name, UT_MAX_DIMS);
    }
    return ut_tensor_set_shape(tensor, type, dims, n_dims)
               ? UTTER_OK
               : fail_tensor(r, tensor, object, "a shape that no memory could hold");
}

/* Version 3 states the type beside an untyped storage; the others take the storage's. A mixture is
 * refused. */
static utter_status read_tensor(struct ut_torch_reader *r, uint32_t object,
                                struct ut_tensor *tensor) {
    const struct ut_pickle *pickle = &r->pickle;
    uint32_t arguments[MAX_ARGUMENTS];
    bool has_type = false;
    utter_status status = read_arguments(r, object, tensor, arguments, &has_type);
    if (status) {
        return status;
    }
    if (ut_pickle_object(pickle, arguments[ARGUMENT_STORAGE])->kind != UT_PICKLE_STORAGE) {
        return fail_tensor(r, tensor, object, "it has no storage");
    }
    struct ut_torch_storage storage;
    status = ut_torch_find_storage(r, arguments[ARGUMENT_STORAGE], &storage);
    if (status) {
        return ut_fail_context(r->err, status, "tensor \"%.100s\"", tensor->name);
    }
    enum ut_dtype type = storage.type;
    if (has_type != storage.is_untyped ||
        (has_type && !ut_torch_dtype(pickle, arguments[ARGUMENT_TYPE], &type))) {
        return ut_fail(r->err, UTTER_ERROR_UNSUPPORTED,
                       "tensor \"%.100s\": a type that cannot be read", tensor->name);
    }
    struct layout layout;
    status = read_layout(r, object, arguments, type, &layout, tensor);
    return status ? status : place(r, object, &layout, &storage, tensor);
}

/* ---- The whole pickle ----------------------------------------------------------------------- */

/* First the walk, which finds names and objects, then the tensors, for which there is an array of
 * the right size. */
utter_status ut_torch_read_tensors(struct ut_torch_reader *r) {
    struct ut_weights *weights = r->weights;
    struct walk *w = ut_blocks_alloc(&r->scratch, 1, sizeof *w, r->err);
    uint32_t *keys = ut_blocks_alloc(&r->scratch, r->pickle.cells.n, sizeof *keys, r->err);
    if (!w || !keys) {
        return r->scratch.status;
    }
    *w = (struct walk){.r = r, .pickle = &r->pickle, .keys = keys, .end = &w->first};
    ut_blocks_init(&weights->blocks, weights->mem, weights->n, r->scratch.n_bytes);
    utter_status status = visit(w, r->pickle.root, 0, 0);
    while (!status && w->n_levels > 0) {
        status = step(w);
    }
    if (status) {
        return status;
    }
    weights->tensors =
        ut_blocks_alloc(&weights->blocks, (size_t)w->n_found, sizeof *weights->tensors, r->err);
    if (!weights->tensors) {
        return weights->blocks.status;
    }
    for (const struct found *found = w->first; !status && found; found = found->next) {
        struct ut_tensor *tensor = &weights->tensors[weights->n_tensors++];
        tensor->name = found->name;
        status = read_tensor(r, found->object, tensor);
    }
    return status;
}
