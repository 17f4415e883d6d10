/* Changes single fields of a GGUF file: integers become values that break size computations,
 * strings change with their length, and the data stays behind the padding that the description asks
 * for. Without this nearly every mutant ends at a string that is too long. */
#include <stdbool.h>
#include <string.h>

#include "fuzz.h"

enum { MAX_FIELDS = 1024, N_TYPES = 13, STRING = 8, ARRAY = 9, ALIGNMENT = 32 };

struct field {
    size_t at, n; /* the bytes of an integer or of a string, its length in the 8 before */
    bool is_string;
};

/* What a lenient walk over a file found; it stops where it does not understand. */
struct walk {
    const uint8_t *data;
    size_t n, at; /* the end of what was understood */
    struct field fields[MAX_FIELDS];
    size_t n_fields;
};

static bool take(struct walk *w, size_t n, bool is_string) {
    if (n > w->n - w->at || w->n_fields == MAX_FIELDS) {
        return false;
    }
    w->fields[w->n_fields++] = (struct field){.at = w->at, .n = n, .is_string = is_string};
    w->at += n;
    return true;
}

static bool take_integer(struct walk *w, size_t n_bytes, uint64_t *value) {
    size_t at = w->at;
    *value = 0;
    if (!take(w, n_bytes, false)) {
        return false;
    }
    memcpy(value, w->data + at, n_bytes);
    return true;
}

static bool take_string(struct walk *w) {
    uint64_t n;
    return take_integer(w, 8, &n) && n <= w->n && take(w, (size_t)n, true);
}

static bool take_scalar(struct walk *w, uint64_t type) {
    static const uint8_t sizes[N_TYPES] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    return type == STRING ? take_string(w)
                          : type < N_TYPES && sizes[type] > 0 && take(w, sizes[type], false);
}

static bool take_value(struct walk *w) {
    uint64_t type, element, n;
    if (!take_integer(w, 4, &type)) {
        return false;
    }
    if (type != ARRAY) {
        return take_scalar(w, type);
    }
    if (!take_integer(w, 4, &element) || !take_integer(w, 8, &n)) {
        return false;
    }
    for (; n > 0; n--) {
        if (!take_scalar(w, element)) {
            return false;
        }
    }
    return true;
}

static bool take_tensor(struct walk *w) {
    uint64_t n_dims, unused;
    if (!take_string(w) || !take_integer(w, 4, &n_dims)) {
        return false;
    }
    for (; n_dims > 0; n_dims--) {
        if (!take_integer(w, 8, &unused)) {
            return false;
        }
    }
    return take_integer(w, 4, &unused) && take_integer(w, 8, &unused);
}

static void walk_file(struct walk *w, const uint8_t *data, size_t n) {
    uint64_t version, n_tensors, n_keys;
    *w = (struct walk){.data = data, .n = n, .at = n < 4 ? n : 4};
    if (!take_integer(w, 4, &version) || !take_integer(w, 8, &n_tensors) ||
        !take_integer(w, 8, &n_keys)) {
        return;
    }
    for (; n_keys > 0; n_keys--) {
        if (!take_string(w) || !take_value(w)) {
            return;
        }
    }
    for (; n_tensors > 0 && take_tensor(w); n_tensors--) {
    }
}

static void change_integer(uint8_t *data, const struct field *field, unsigned seed) {
    static const uint64_t values[] = {0,
                                      1,
                                      2,
                                      31,
                                      32,
                                      33,
                                      256,
                                      UINT64_MAX,
                                      INT64_MAX,
                                      (uint64_t)1 << 63,
                                      (uint64_t)1 << 62,
                                      (uint64_t)1 << 59,
                                      UINT32_MAX,
                                      INT32_MAX,
                                      (uint64_t)1 << 31,
                                      (uint64_t)1 << 32};
    uint64_t value = 0;
    size_t n = field->n < 8 ? field->n : 8;
    memcpy(&value, data + field->at, n);
    unsigned choice = seed % 24;
    value = choice < 16   ? values[choice]
            : choice < 18 ? value + 1
            : choice < 20 ? value - 1
            : choice < 22 ? value + 32
                          : seed / 24 % 42; /* a type, a count */
    memcpy(data + field->at, &value, n);
}

static size_t padded(size_t n) {
    return (n + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* Mutates a string and moves what is behind it; the data to where the padding now ends. */
static size_t change_string(uint8_t *data, size_t n, size_t max_bytes, const struct walk *w,
                            const struct field *field) {
    size_t end = field->at + field->n, n_rest = w->at - end;
    size_t data_at = padded(w->at) < n ? padded(w->at) : n, n_data = n - data_at;
    size_t spare = n_rest + n_data + ALIGNMENT;
    if (field->n == 0 || field->at + field->n + spare > max_bytes) {
        return LLVMFuzzerMutate(data, n, max_bytes);
    }
    uint8_t *saved = malloc(n_rest + n_data + 1);
    REQUIRE(saved);
    memcpy(saved, data + end, n_rest);
    memcpy(saved + n_rest, data + data_at, n_data);
    uint64_t length = LLVMFuzzerMutate(data + field->at, field->n, max_bytes - field->at - spare);
    memcpy(data + field->at - 8, &length, 8);
    size_t at = field->at + (size_t)length;
    memcpy(data + at, saved, n_rest);
    at += n_rest;
    memset(data + at, 0, padded(at) - at);
    at = padded(at);
    memcpy(data + at, saved + n_rest, n_data);
    free(saved);
    return at + n_data;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t max_bytes, unsigned seed) {
    static struct walk w;
    walk_file(&w, data, n);
    if (seed % 8 == 0 || w.n_fields == 0) {
        return LLVMFuzzerMutate(data, n, max_bytes);
    }
    if (seed % 8 == 1 && w.at < n) {
        return w.at + LLVMFuzzerMutate(data + w.at, n - w.at, max_bytes - w.at);
    }
    const struct field *field = &w.fields[seed / 8 % w.n_fields];
    if (field->is_string) {
        return change_string(data, n, max_bytes, &w, field);
    }
    change_integer(data, field, seed / 8 / (unsigned)w.n_fields);
    return n;
}
