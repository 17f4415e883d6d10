/* See variants.h. Names as published: model_q4f16.onnx, Kokoro_espeak_Q5.gguf, voice-int8.onnx,
 * kokoro.q4_k_m.gguf. */
#include "models/variants.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/checked.h"
#include "models/model_file.h"

/* A name without its extension: where the part that all variants share ends, and what the rest
 * says. */
struct parsed {
    size_t n_stem;
    bool quantized, half;
};

/* Without regard to case. */
static bool is_one_of(const char *token, size_t n, const char *const *words, size_t n_words) {
    for (size_t i = 0; i < n_words; i++) {
        if (strlen(words[i]) == n && strncasecmp(token, words[i], n) == 0) {
            return true;
        }
    }
    return false;
}

/* "q4", "Q8", "q4f16". */
static bool is_bits(const char *token, size_t n) {
    bool digits =
        n >= 2 && (token[0] == 'q' || token[0] == 'Q') && isdigit((unsigned char)token[1]);
    return digits && (n == 2 || (n == 5 && strncasecmp(token + 2, "f16", 3) == 0));
}

/* Takes one token of the name's end; false when it says nothing of precision. `n_open` counts
 * tokens such as those of "q4_k_m" that only count if a number of bits comes before them. */
static bool take_token(const char *token, size_t n, struct parsed *out, int *n_open) {
    static const char *const originals[] = {"f32", "fp32"},
                             *const halves[] = {"f16", "fp16", "bf16"},
                             *const quantized[] = {"int8", "uint8", "uint8f16", "quantized"},
                             *const ways[] = {"0", "1", "k", "s", "m", "l"};
    if (is_one_of(token, n, ways, UT_COUNT(ways))) {
        ++*n_open;
        return true;
    }
    bool bits = is_bits(token, n);
    if (*n_open > 0 && !bits) {
        return false;
    }
    *n_open = 0;
    bool narrow = bits || is_one_of(token, n, quantized, UT_COUNT(quantized));
    bool half = is_one_of(token, n, halves, UT_COUNT(halves));
    out->quantized = out->quantized || narrow;
    out->half = out->half || half;
    return narrow || half || is_one_of(token, n, originals, UT_COUNT(originals));
}

/* From the end of the name, token by token, parted by _ . and -, until one says nothing of
 * precision. */
static struct parsed parse(const char *name) {
    const char *dot = strrchr(name, '.');
    size_t end = dot ? (size_t)(dot - name) : strlen(name);
    struct parsed parsed = {.n_stem = end};
    for (int n_open = 0; end > 0;) {
        size_t begin = end;
        while (begin > 0 && !strchr("_.-", name[begin - 1])) {
            begin--;
        }
        if (begin == 0 || !take_token(name + begin, end - begin, &parsed, &n_open)) {
            break;
        }
        end = begin - 1;
        parsed.n_stem = n_open ? parsed.n_stem : end;
    }
    return parsed;
}

/* Behind the last slash: folders' names tell nothing of the precision. */
static const char *name_of(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

enum ut_variant_kind ut_variant_kind_of(const char *path) {
    struct parsed parsed = parse(name_of(path));
    return parsed.quantized ? UT_VARIANT_QUANTIZED
           : parsed.half    ? UT_VARIANT_HALF
                            : UT_VARIANT_ORIGINAL;
}

/* By the ending; `list` has taken models only. */
static enum ut_variant_format format_of(const char *name) {
    return ut_path_ends_with(name, ".onnx") ? UT_VARIANT_ONNX : UT_VARIANT_OWN;
}

/* Equal up to where the precision begins. Case counts. */
static bool same_model(const char *a, const char *b) {
    size_t n = parse(a).n_stem;
    return n == parse(b).n_stem && memcmp(a, b, n) == 0;
}

/* The order in which they are tried. */
static int compare(const void *a, const void *b) {
    const struct ut_variant *x = a, *y = b;
    if (x->kind != y->kind) {
        return x->kind < y->kind ? -1 : 1;
    }
    if (x->n_bytes != y->n_bytes) {
        return x->n_bytes > y->n_bytes ? -1 : 1;
    }
    return strcmp(x->path, y->path);
}

/* False for what is no regular file, or whose path is too long. */
static bool describe(const char *folder, size_t n_folder, const char *name,
                     struct ut_variant *out) {
    struct stat st;
    int n = snprintf(out->path, sizeof out->path, "%.*s%s", (int)n_folder, folder, name);
    if (n >= (int)sizeof out->path || stat(out->path, &st) != 0 || !S_ISREG(st.st_mode)) {
        return false;
    }
    out->kind = ut_variant_kind_of(name);
    out->format = format_of(name);
    out->n_bytes = (uint64_t)st.st_size;
    return true;
}

/* Model files of a folder (n_folder bytes of `folder`, its slash included, or none): those that are
 * variants of `like`, itself not among them, or all where that is NULL. At most UT_MAX_VARIANTS. */
static utter_status list(struct ut_mem *mem, const char *folder, size_t n_folder, const char *like,
                         struct ut_variants *out, utter_error *err) {
    char path[PATH_MAX];
    *out = (struct ut_variants){.mem = mem};
    out->items = ut_mem_alloc(mem, UT_MEM_OTHER, UT_MAX_VARIANTS * sizeof *out->items);
    if (!out->items) {
        return ut_fail_memory(err, UT_MAX_VARIANTS * sizeof *out->items);
    }
    snprintf(path, sizeof path, "%.*s", (int)n_folder, folder);
    DIR *dir = opendir(n_folder ? path : ".");
    if (!dir) {
        return ut_fail(err, UTTER_ERROR_IO, "%s: cannot read the folder: %s", path,
                       strerror(errno));
    }
    errno = 0;
    for (struct dirent *entry; out->n < UT_MAX_VARIANTS && (entry = readdir(dir)); errno = 0) {
        bool fits = ut_model_is_named(entry->d_name) && (!like || same_model(entry->d_name, like));
        bool itself = like && strcmp(entry->d_name, like) == 0;
        out->n += fits && !itself && describe(folder, n_folder, entry->d_name, &out->items[out->n]);
    }
    int error = errno;
    closedir(dir);
    if (error) {
        return ut_fail(err, UTTER_ERROR_IO, "%s: cannot read the folder: %s", path,
                       strerror(error));
    }
    qsort(out->items, out->n, sizeof *out->items, compare);
    return UTTER_OK;
}

/* Those of one format to the front, in the order that they have; how many. */
static size_t move_to_front(struct ut_variants *variants, enum ut_variant_format format) {
    size_t n = 0;
    for (size_t i = 0; i < variants->n; i++) {
        if (variants->items[i].format == format) {
            struct ut_variant one = variants->items[i];
            memmove(&variants->items[n + 1], &variants->items[n], (i - n) * sizeof one);
            variants->items[n++] = one;
        }
    }
    return n;
}

/* Files of the format that was asked for come first, those of the other one behind them. */
utter_status ut_variants_find(struct ut_mem *mem, const char *path, struct ut_variants *out,
                              utter_error *err) {
    const char *name = name_of(path);
    utter_status status = list(mem, path, (size_t)(name - path), name, out, err);
    if (status) {
        ut_variants_free(out);
        return status;
    }
    move_to_front(out, format_of(name));
    return UTTER_OK;
}

/* UT_VARIANT_ORIGINAL is the largest kind, so the most precise is the one of the highest kind. */
utter_status ut_variants_best(struct ut_mem *mem, const char *folder,
                              enum ut_variant_format preferred, char path[PATH_MAX],
                              utter_error *err) {
    struct ut_variants all;
    char with_slash[PATH_MAX];
    snprintf(with_slash, sizeof with_slash, "%.*s/", PATH_MAX - 2, folder);
    utter_status status = list(mem, with_slash, strlen(with_slash), NULL, &all, err);
    size_t n_first =
        move_to_front(&all, preferred == UT_VARIANT_ONNX ? UT_VARIANT_ONNX : UT_VARIANT_OWN);
    n_first = n_first ? n_first : all.n;
    size_t n_alike = preferred == UT_VARIANT_ANY ? all.n : n_first, best = 0;
    for (size_t i = 0; status == UTTER_OK && i < n_alike; i++) {
        if (!same_model(name_of(all.items[i].path), name_of(all.items[0].path))) {
            status = ut_fail(err, UTTER_ERROR_NOT_FOUND, "%s: %s and %s are different models",
                             folder, name_of(all.items[0].path), name_of(all.items[i].path));
        }
        best = i < n_first && all.items[i].kind > all.items[best].kind ? i : best;
    }
    if (status == UTTER_OK && all.n == 0) {
        status = ut_fail(err, UTTER_ERROR_NOT_FOUND, "%s: no model in this folder", folder);
    }
    if (status == UTTER_OK) {
        memcpy(path, all.items[best].path, PATH_MAX);
    }
    ut_variants_free(&all);
    return status;
}

void ut_variants_free(struct ut_variants *variants) {
    ut_mem_free(variants->mem, variants->items);
    *variants = (struct ut_variants){.mem = variants->mem};
}
