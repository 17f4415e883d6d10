/* Kokoro's config.json, as the PyPI package kokoro 0.9.4 reads it. Keys that matter to training
 * only (dropout, n_mels, dim_in, ...) and sizes that the tensors' shapes tell better are not read.
 */
#include "models/kokoro/config_check.h"

#include <string.h>

#include "base/checked.h"
#include "base/json.h"
#include "base/sort.h"
#include "base/utf8.h"

struct parser {
    struct ut_json *doc;
    struct ut_kokoro_config *config;
    utter_error *err;
};

/* ---- Values --------------------------------------------------------------------------------- */

/* Finds a member of a type. *out is -1 for a member that is absent or null, which is an error when
 * it is needed. `path` is how messages call it. */
static utter_status find_member(struct parser *p, ut_json_ref parent, const char *path,
                                enum ut_json_type type, bool is_needed, ut_json_ref *out) {
    static const char *const names[] = {
        [UT_JSON_NUMBER] = "a number", [UT_JSON_ARRAY] = "a list", [UT_JSON_OBJECT] = "an object"};
    const char *dot = strrchr(path, '.');
    *out = ut_json_member(p->doc, parent, dot ? dot + 1 : path);
    if (ut_json_type(p->doc, *out) == UT_JSON_NULL) {
        *out = -1;
        return is_needed ? ut_fail(p->err, UTTER_ERROR_FORMAT, "\"%s\" is missing", path)
                         : UTTER_OK;
    }
    return ut_json_type(p->doc, *out) == type
               ? UTTER_OK
               : ut_fail(p->err, UTTER_ERROR_FORMAT, "\"%s\" must be %s", path, names[type]);
}

struct integer {
    const char *path;
    int low, high;
    bool is_needed;
    int *out; /* left alone when absent */
};

static utter_status read_int(struct parser *p, ut_json_ref parent, const struct integer *want) {
    ut_json_ref value;
    int64_t number;
    utter_status status =
        find_member(p, parent, want->path, UT_JSON_NUMBER, want->is_needed, &value);
    if (status || value < 0) {
        return status;
    }
    if (!ut_json_int64(p->doc, value, &number) || number < want->low || number > want->high) {
        return ut_fail(p->err, UTTER_ERROR_FORMAT, "\"%s\" must be an integer in %d..%d",
                       want->path, want->low, want->high);
    }
    *want->out = (int)number;
    return UTTER_OK;
}

static utter_status read_ints(struct parser *p, ut_json_ref parent, const struct integer *want,
                              size_t n) {
    utter_status status = UTTER_OK;
    for (size_t i = 0; i < n && status == UTTER_OK; i++) {
        status = read_int(p, parent, &want[i]);
    }
    return status;
}

/* A list of 1 to `capacity` integers in 1..high. */
static utter_status read_list(struct parser *p, ut_json_ref list, const char *path, int high,
                              int capacity, int *out, int *n_out) {
    size_t n = ut_json_count(p->doc, list);
    bool is_good = ut_json_type(p->doc, list) == UT_JSON_ARRAY && n >= 1 && n <= (size_t)capacity;
    *n_out = 0;
    for (ut_json_ref item = is_good ? ut_json_first(p->doc, list) : -1; item >= 0;
         item = ut_json_next(p->doc, item)) {
        int64_t number;
        is_good = is_good && ut_json_int64(p->doc, item, &number) && number >= 1 && number <= high;
        out[(*n_out)++] = is_good ? (int)number : 0;
    }
    return is_good ? UTTER_OK
                   : ut_fail(p->err, UTTER_ERROR_FORMAT,
                             "\"%s\" must be a list of 1 to %d integers in 1..%d", path, capacity,
                             high);
}

static utter_status find_list(struct parser *p, ut_json_ref parent, const char *path, int high,
                              int capacity, int *out, int *n_out) {
    ut_json_ref list;
    utter_status status = find_member(p, parent, path, UT_JSON_ARRAY, true, &list);
    return status ? status : read_list(p, list, path, high, capacity, out, n_out);
}

/* ---- The parts of the file ------------------------------------------------------------------- */

/* One list of dilations for each kernel size, all of one length. */
static utter_status read_dilations(struct parser *p, ut_json_ref istftnet) {
    static const char path[] = "istftnet.resblock_dilation_sizes";
    struct ut_kokoro_config *config = p->config;
    ut_json_ref lists;
    utter_status status = find_member(p, istftnet, path, UT_JSON_ARRAY, true, &lists);
    if (status) {
        return status;
    }
    size_t n = ut_json_count(p->doc, lists);
    if (n != (size_t)config->n_kernels) {
        return ut_fail(p->err, UTTER_ERROR_FORMAT,
                       "\"%s\" has %zu lists, \"istftnet.resblock_kernel_sizes\" has %d entries",
                       path, n, config->n_kernels);
    }
    int i = 0;
    for (ut_json_ref list = ut_json_first(p->doc, lists); list >= 0;
         list = ut_json_next(p->doc, list), i++) {
        int n_dilations;
        status = read_list(p, list, path, KOKORO_MAX_DILATION, KOKORO_MAX_DILATIONS,
                           config->dilations[i], &n_dilations);
        if (status) {
            return status;
        }
        if (i > 0 && n_dilations != config->n_dilations) {
            return ut_fail(p->err, UTTER_ERROR_FORMAT,
                           "\"%s\": list %d has %d entries, the first has %d", path, i + 1,
                           n_dilations, config->n_dilations);
        }
        config->n_dilations = n_dilations;
    }
    return UTTER_OK;
}

/* What a convolution of this program can be: odd kernels keep the length of their input. */
utter_status ut_kokoro_config_check(const struct ut_kokoro_config *config, utter_error *err) {
    for (int i = 0; i < config->n_kernels; i++) {
        if (config->kernel_sizes[i] % 2 == 0) {
            return ut_fail(err, UTTER_ERROR_FORMAT,
                           "kernel size %d of the generator's resblocks is even, expected odd ones",
                           config->kernel_sizes[i]);
        }
    }
    if (config->n_fft % 2) {
        return ut_fail(err, UTTER_ERROR_FORMAT,
                       "the inverse STFT has a size of %d, expected an even one", config->n_fft);
    }
    if (config->hop > config->n_fft) {
        return ut_fail(err, UTTER_ERROR_FORMAT,
                       "the inverse STFT has a hop of %d, more than its size of %d", config->hop,
                       config->n_fft);
    }
    return UTTER_OK;
}

static utter_status read_generator(struct parser *p, ut_json_ref root) {
    struct ut_kokoro_config *config = p->config;
    ut_json_ref istftnet;
    int n_up_kernels, up_kernels[KOKORO_MAX_UPSAMPLES];
    const struct integer sizes[] = {
        {"istftnet.gen_istft_n_fft", 2, KOKORO_MAX_FFT, true, &config->n_fft},
        {"istftnet.gen_istft_hop_size", 1, KOKORO_MAX_FFT, true, &config->hop},
    };
    utter_status status = find_member(p, root, "istftnet", UT_JSON_OBJECT, true, &istftnet);
    status = status ? status : read_ints(p, istftnet, sizes, UT_COUNT(sizes));
    status = status ? status
                    : find_list(p, istftnet, "istftnet.upsample_rates", KOKORO_MAX_RATE,
                                KOKORO_MAX_UPSAMPLES, config->upsample_rates, &config->n_upsamples);
    status = status
                 ? status
                 : find_list(p, istftnet, "istftnet.upsample_kernel_sizes", KOKORO_MAX_KERNEL_SIZE,
                             KOKORO_MAX_UPSAMPLES, up_kernels, &n_up_kernels);
    if (status == UTTER_OK && n_up_kernels != config->n_upsamples) {
        return ut_fail(p->err, UTTER_ERROR_FORMAT,
                       "\"istftnet.upsample_kernel_sizes\" has %d entries, "
                       "\"istftnet.upsample_rates\" has %d",
                       n_up_kernels, config->n_upsamples);
    }
    status = status
                 ? status
                 : find_list(p, istftnet, "istftnet.resblock_kernel_sizes", KOKORO_MAX_KERNEL_SIZE,
                             KOKORO_MAX_KERNELS, config->kernel_sizes, &config->n_kernels);
    status = status ? status : read_dilations(p, istftnet);
    return status ? status : ut_kokoro_config_check(config, p->err);
}

static utter_status read_albert(struct parser *p, ut_json_ref root) {
    struct ut_kokoro_config *config = p->config;
    ut_json_ref plbert;
    const struct integer sizes[] = {
        {"plbert.num_attention_heads", 1, KOKORO_MAX_HEADS, true, &config->n_heads},
        {"plbert.num_hidden_layers", 1, KOKORO_MAX_REPEATS, true, &config->n_repeats},
        {"plbert.max_position_embeddings", 1, KOKORO_MAX_SIZE, false, &config->max_positions},
    };
    utter_status status = find_member(p, root, "plbert", UT_JSON_OBJECT, true, &plbert);
    return status ? status : read_ints(p, plbert, sizes, UT_COUNT(sizes));
}

static utter_status read_sizes(struct parser *p, ut_json_ref root) {
    struct ut_kokoro_config *config = p->config;
    const struct integer sizes[] = {
        {"n_token", 1, KOKORO_MAX_TOKENS, false, &config->n_token},
        {"hidden_dim", 1, KOKORO_MAX_SIZE, false, &config->hidden_dim},
        {"style_dim", 1, KOKORO_MAX_SIZE, false, &config->style_dim},
        {"n_layer", 1, KOKORO_MAX_REPEATS, false, &config->n_layer},
        {"max_dur", 1, KOKORO_MAX_SIZE, false, &config->max_dur},
    };
    return read_ints(p, root, sizes, UT_COUNT(sizes));
}

/* ---- Vocabulary ------------------------------------------------------------------------------ */

static int compare_symbols(uint32_t a, uint32_t b, const void *context) {
    const struct ut_kokoro_symbol *symbols = context;
    return (symbols[a].code_point > symbols[b].code_point) -
           (symbols[a].code_point < symbols[b].code_point);
}

utter_status ut_kokoro_config_sort(struct ut_kokoro_config *config, utter_error *err) {
    size_t n = config->n_symbols;
    uint32_t *order = ut_mem_calloc(config->mem, UT_MEM_OTHER, n, sizeof *order);
    struct ut_kokoro_symbol *sorted = ut_mem_calloc(config->mem, UT_MEM_OTHER, n, sizeof *sorted);
    utter_status status = order && sorted ? UTTER_OK : ut_fail_memory(err, n * sizeof *sorted);
    if (status == UTTER_OK) {
        for (size_t i = 0; i < n; i++) {
            order[i] = (uint32_t)i;
        }
        ut_sort_u32(order, n, compare_symbols, config->symbols);
        for (size_t i = 0; i < n; i++) {
            sorted[i] = config->symbols[order[i]];
        }
        ut_mem_free(config->mem, config->symbols);
        config->symbols = sorted;
        sorted = NULL;
    }
    ut_mem_free(config->mem, sorted);
    ut_mem_free(config->mem, order);
    for (size_t i = 1; i < n && status == UTTER_OK; i++) {
        if (config->symbols[i].code_point == config->symbols[i - 1].code_point) {
            status = ut_fail(err, UTTER_ERROR_FORMAT,
                             "the vocabulary has the symbol U+%04X twice, with the ids %d and %d",
                             (unsigned)config->symbols[i].code_point,
                             (int)UT_MIN(config->symbols[i - 1].id, config->symbols[i].id),
                             (int)UT_MAX(config->symbols[i - 1].id, config->symbols[i].id));
        }
    }
    return status;
}

int32_t ut_kokoro_single_code_point(const char *text) {
    size_t n = strlen(text), n_first = 0;
    int32_t code_point = n ? ut_utf8_decode(text, n, &n_first) : -1;
    return n_first == n ? code_point : -1;
}

static utter_status read_vocabulary(struct parser *p, ut_json_ref root) {
    struct ut_kokoro_config *config = p->config;
    ut_json_ref map;
    utter_status status = find_member(p, root, "vocab", UT_JSON_OBJECT, true, &map);
    if (status) {
        return status;
    }
    size_t n = ut_json_count(p->doc, map);
    int n_ids = config->n_token ? config->n_token : KOKORO_MAX_TOKENS;
    if (n < 1 || n > KOKORO_MAX_TOKENS) {
        return ut_fail(p->err, UTTER_ERROR_FORMAT, "\"vocab\" has %zu entries, expected 1 to %d", n,
                       KOKORO_MAX_TOKENS);
    }
    config->symbols = ut_mem_calloc(config->mem, UT_MEM_OTHER, n, sizeof *config->symbols);
    if (!config->symbols) {
        return ut_fail_memory(p->err, n * sizeof *config->symbols);
    }
    for (ut_json_ref value = ut_json_first(p->doc, map); value >= 0;
         value = ut_json_next(p->doc, value)) {
        const char *key = ut_json_key(p->doc, value);
        int32_t code_point = ut_kokoro_single_code_point(key);
        int64_t id;
        if (code_point < 0) {
            return ut_fail(p->err, UTTER_ERROR_FORMAT,
                           "\"vocab\": \"%s\" must be a single character", key);
        }
        if (!ut_json_int64(p->doc, value, &id) || id < 0 || id >= n_ids) {
            return ut_fail(p->err, UTTER_ERROR_FORMAT,
                           "\"vocab\": \"%s\" must be an integer in 0..%d", key, n_ids - 1);
        }
        config->symbols[config->n_symbols++] =
            (struct ut_kokoro_symbol){(uint32_t)code_point, (int32_t)id};
    }
    return ut_kokoro_config_sort(config, p->err);
}

int32_t ut_kokoro_symbol_id(const struct ut_kokoro_config *config, uint32_t code_point) {
    size_t low = 0, high = config->n_symbols;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (config->symbols[middle].code_point == code_point) {
            return config->symbols[middle].id;
        }
        if (config->symbols[middle].code_point < code_point) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return -1;
}

/* ---- The file -------------------------------------------------------------------------------- */

static utter_status read_all(struct parser *p) {
    const ut_json_ref root = 0;
    if (ut_json_type(p->doc, root) != UT_JSON_OBJECT) {
        return ut_fail(p->err, UTTER_ERROR_FORMAT, "the configuration must be a JSON object");
    }
    utter_status status = read_sizes(p, root);
    status = status ? status : read_albert(p, root);
    status = status ? status : read_generator(p, root);
    return status ? status : read_vocabulary(p, root);
}

/* A tokenizer.json holds the map in its model; its ids have no size stated beside them. */
static utter_status read_vocabulary_alone(struct parser *p) {
    const ut_json_ref root = 0;
    if (ut_json_type(p->doc, root) != UT_JSON_OBJECT) {
        return ut_fail(p->err, UTTER_ERROR_FORMAT, "the configuration must be a JSON object");
    }
    ut_json_ref model = ut_json_member(p->doc, root, "model");
    return read_vocabulary(p, ut_json_member(p->doc, model, "vocab") >= 0 ? model : root);
}

static utter_status parse(struct ut_mem *mem, const char *json, size_t n,
                          utter_status (*read)(struct parser *p), struct ut_kokoro_config *out,
                          utter_error *err) {
    *out = (struct ut_kokoro_config){.mem = mem};
    struct parser p = {.config = out, .err = err};
    utter_status status = ut_json_parse(mem, json, n, &p.doc, err);
    if (status) {
        return status;
    }
    status = read(&p);
    ut_json_free(p.doc);
    if (status) {
        ut_kokoro_config_free(out);
    }
    return status;
}

utter_status ut_kokoro_config_parse(struct ut_mem *mem, const char *json, size_t n,
                                    struct ut_kokoro_config *out, utter_error *err) {
    return parse(mem, json, n, read_all, out, err);
}

utter_status ut_kokoro_vocabulary_parse(struct ut_mem *mem, const char *json, size_t n,
                                        struct ut_kokoro_config *out, utter_error *err) {
    return parse(mem, json, n, read_vocabulary_alone, out, err);
}

void ut_kokoro_config_free(struct ut_kokoro_config *config) {
    if (config->mem) {
        ut_mem_free(config->mem, config->symbols);
    }
    *config = (struct ut_kokoro_config){.mem = NULL};
}
