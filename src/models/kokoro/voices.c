/* Kokoro's style tables: found by name when the voices are opened, mapped when a row is first read,
 * then kept mapped. Voices of a folder are those its listing shows; no text of a caller ever
 * becomes part of a path. */
#include "models/kokoro/voices.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/checked.h"
#include "base/sort.h"
#include "models/kokoro/layout.h"
#include "weights/file_map.h"

enum { MAX_NAME = 64, CHUNK = 256 /* the largest block of a quantized type */ };

/* In the order in which the kinds of file are preferred when a name has several. */
enum source { IN_MODEL, SAFETENSORS, TORCH, RAW };

static const char *const endings[] = {
    [IN_MODEL] = NULL, [SAFETENSORS] = ".safetensors", [TORCH] = ".pt", [RAW] = ".bin"};

struct voice {
    char name[MAX_NAME + 1];
    enum source source;
    char *path; /* NULL in the model */
};

/* A voice's rows, once somebody needed one. */
struct table {
    bool is_open;
    const struct ut_weights *weights; /* of the rows; NULL for a raw file */
    struct ut_weights *opened;        /* the same, when it is ours to close */
    struct ut_file_map map;           /* of a raw file */
    struct ut_tensor rows;            /* [510, n_style], perhaps with a 1 between */
};

struct shared { /* what changes behind a const struct ut_kokoro_voices */
    pthread_mutex_t lock;
    struct table tables[];
};

struct ut_kokoro_voices {
    struct ut_mem *mem;
    const struct ut_weights *model; /* borrowed; NULL when the voices are files */
    size_t n_style;
    struct voice *voices; /* sorted by name */
    size_t n_voices, capacity;
    struct shared *shared;
};

/* ---- Finding voices -------------------------------------------------------------------------- */

static bool is_name(const char *text, size_t n) {
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!is_letter && !(c >= '0' && c <= '9') && c != '.' && c != '_' && c != '-') {
            return false;
        }
    }
    return n >= 1 && n <= MAX_NAME;
}

/* Adds a voice, taking `path` in every case. */
static utter_status add_voice(struct ut_kokoro_voices *voices, const char *name, size_t n,
                              enum source source, char *path, utter_error *err) {
    utter_status status = UTTER_OK;
    if (voices->n_voices == UT_KOKORO_MAX_VOICES) {
        status =
            ut_fail(err, UTTER_ERROR_FORMAT, "there are more than %d voices", UT_KOKORO_MAX_VOICES);
    } else if (voices->n_voices == voices->capacity) {
        size_t capacity = 2 * voices->capacity + 16;
        struct voice *grown =
            ut_mem_realloc(voices->mem, UT_MEM_WEIGHTS, voices->voices, capacity * sizeof *grown);
        if (grown) {
            voices->voices = grown;
            voices->capacity = capacity;
        } else {
            status = ut_fail_memory(err, capacity * sizeof *grown);
        }
    }
    if (status) {
        ut_mem_free(voices->mem, path);
        return status;
    }
    struct voice *voice = &voices->voices[voices->n_voices++];
    *voice = (struct voice){.source = source, .path = path};
    memcpy(voice->name, name, n);
    return UTTER_OK;
}

/* Tensors of our own GGUF layout and of TTS.cpp's. The list "kokoro.voices" repeats their names. */
static utter_status find_inside(struct ut_kokoro_voices *voices, const struct ut_log *log,
                                utter_error *err) {
    static const char *const prefixes[] = {UT_KOKORO_GGUF_VOICE_PREFIX, "kokoro.voice_tensors."};
    for (size_t i = 0; i < ut_weights_count(voices->model); i++) {
        const char *tensor = ut_weights_at(voices->model, i)->name;
        for (size_t k = 0; k < UT_COUNT(prefixes); k++) {
            size_t n = strlen(prefixes[k]);
            if (strncmp(tensor, prefixes[k], n) != 0) {
                continue;
            }
            const char *name = tensor + n;
            if (!is_name(name, strlen(name))) {
                ut_log(log, UTTER_LOG_WARNING,
                       "voice \"%s\" is left out: names have 1 to %d of the characters "
                       "A-Z a-z 0-9 . _ -",
                       name, MAX_NAME);
                continue;
            }
            utter_status status = add_voice(voices, name, strlen(name), IN_MODEL, NULL, err);
            if (status) {
                return status;
            }
        }
    }
    return UTTER_OK;
}

static char *join_path(struct ut_mem *mem, const char *folder, size_t n, const char *name) {
    size_t n_name = strlen(name);
    char *path = ut_mem_alloc(mem, UT_MEM_WEIGHTS, n + n_name + 1);
    if (path) {
        memcpy(path, folder, n);
        memcpy(path + n, name, n_name + 1);
    }
    return path;
}

static utter_status add_file(struct ut_kokoro_voices *voices, const char *folder, const char *file,
                             const struct ut_log *log, utter_error *err) {
    size_t n = strlen(file);
    for (enum source source = SAFETENSORS; source <= RAW; source++) {
        size_t n_ending = strlen(endings[source]);
        if (n <= n_ending || strcmp(file + n - n_ending, endings[source]) != 0) {
            continue;
        }
        if (!is_name(file, n - n_ending)) {
            ut_log(log, UTTER_LOG_WARNING,
                   "%s%s is left out: names of voices have 1 to %d of the characters "
                   "A-Z a-z 0-9 . _ -",
                   folder, file, MAX_NAME);
            return UTTER_OK;
        }
        char *path = join_path(voices->mem, folder, strlen(folder), file);
        return path ? add_voice(voices, file, n - n_ending, source, path, err)
                    : ut_fail_memory(err, n);
    }
    return UTTER_OK;
}

static utter_status list_folder(struct ut_kokoro_voices *voices, const char *folder,
                                const struct ut_log *log, utter_error *err) {
    DIR *listing = opendir(folder);
    if (!listing) {
        return errno == ENOENT || errno == ENOTDIR
                   ? UTTER_OK
                   : ut_fail(err, UTTER_ERROR_IO, "%s: %s", folder, strerror(errno));
    }
    utter_status status = UTTER_OK;
    while (status == UTTER_OK) {
        errno = 0;
        const struct dirent *entry = readdir(listing);
        if (!entry) {
            status =
                errno ? ut_fail(err, UTTER_ERROR_IO, "%s: %s", folder, strerror(errno)) : UTTER_OK;
            break;
        }
        status = add_file(voices, folder, entry->d_name, log, err);
    }
    closedir(listing);
    return status;
}

static utter_status find_beside(struct ut_kokoro_voices *voices, const char *model_path,
                                const struct ut_log *log, utter_error *err) {
    const char *slash = strrchr(model_path, '/');
    size_t n = slash ? (size_t)(slash - model_path) + 1 : 0;
    char *folder = join_path(voices->mem, model_path, n, "voices/");
    if (!folder) {
        return ut_fail_memory(err, n);
    }
    utter_status status = list_folder(voices, folder, log, err);
    if (status == UTTER_OK && voices->n_voices == 0) {
        status = ut_fail(err, UTTER_ERROR_NOT_FOUND,
                         "there are no voices: none inside %s, and no NAME.pt, NAME.safetensors "
                         "or NAME.bin in %s",
                         model_path, folder);
    }
    ut_mem_free(voices->mem, folder);
    return status;
}

static int compare_voices(uint32_t a, uint32_t b, const void *context) {
    const struct voice *voices = context;
    int order = strcmp(voices[a].name, voices[b].name);
    return order ? order : (int)voices[a].source - (int)voices[b].source;
}

/* Sorts by name; of several files of one name the preferred one stays. */
static utter_status sort_voices(struct ut_kokoro_voices *voices, utter_error *err) {
    size_t n = voices->n_voices, n_kept = 0;
    uint32_t order[UT_KOKORO_MAX_VOICES];
    struct voice *sorted = ut_mem_calloc(voices->mem, UT_MEM_WEIGHTS, n, sizeof *sorted);
    if (!sorted) {
        return ut_fail_memory(err, n * sizeof *sorted);
    }
    for (size_t i = 0; i < n; i++) {
        order[i] = (uint32_t)i;
    }
    ut_sort_u32(order, n, compare_voices, voices->voices);
    for (size_t i = 0; i < n; i++) {
        struct voice *voice = &voices->voices[order[i]];
        if (n_kept > 0 && strcmp(sorted[n_kept - 1].name, voice->name) == 0) {
            ut_mem_free(voices->mem, voice->path);
        } else {
            sorted[n_kept++] = *voice;
        }
    }
    ut_mem_free(voices->mem, voices->voices);
    voices->voices = sorted;
    voices->n_voices = n_kept;
    return UTTER_OK;
}

/* ---- Tables ---------------------------------------------------------------------------------- */

static utter_status check_shape(const struct ut_kokoro_voices *voices, const struct voice *voice,
                                const struct ut_tensor *table, utter_error *err) {
    char found[96] = "";
    size_t n = 0;
    bool has_one_between = table->n_dims == 3 && table->dims[1] == 1;
    if ((table->n_dims == 2 || has_one_between) && table->dims[0] == UT_KOKORO_VOICE_ROWS &&
        table->dims[table->n_dims - 1] == voices->n_style) {
        return UTTER_OK;
    }
    for (int i = 0; i < table->n_dims; i++) {
        n += (size_t)snprintf(found + n, sizeof found - n, "%s%llu", i ? ", " : "",
                              (unsigned long long)table->dims[i]);
    }
    return ut_fail(err, UTTER_ERROR_FORMAT,
                   "voice %s has a table of [%s], this model needs [%d, 1, %zu]", voice->name,
                   found, UT_KOKORO_VOICE_ROWS, voices->n_style);
}

static utter_status check_size(const struct ut_kokoro_voices *voices, const struct voice *voice,
                               uint64_t n_bytes, utter_error *err) {
    uint64_t wanted = (uint64_t)UT_KOKORO_VOICE_ROWS * voices->n_style * sizeof(float);
    return n_bytes == wanted
               ? UTTER_OK
               : ut_fail(err, UTTER_ERROR_FORMAT,
                         "%s has %llu bytes, a voice of this model %llu: [%d, 1, %zu] f32",
                         voice->path, (unsigned long long)n_bytes, (unsigned long long)wanted,
                         UT_KOKORO_VOICE_ROWS, voices->n_style);
}

static utter_status open_raw(const struct ut_kokoro_voices *voices, const struct voice *voice,
                             struct table *table, utter_error *err) {
    utter_status status = ut_file_map_open(voices->mem, voice->path, &table->map, err);
    status = status ? status : check_size(voices, voice, table->map.n, err);
    table->rows = (struct ut_tensor){.name = voice->name,
                                     .type = UT_F32,
                                     .n_dims = 2,
                                     .dims = {UT_KOKORO_VOICE_ROWS, voices->n_style, 1, 1},
                                     .data = table->map.data,
                                     .n_bytes = table->map.n};
    return status;
}

static utter_status open_file(const struct ut_kokoro_voices *voices, const struct voice *voice,
                              struct table *table, utter_error *err) {
    utter_status status = ut_weights_open(voices->mem, voice->path, &table->opened, err);
    if (status) {
        return status;
    }
    if (ut_weights_count(table->opened) != 1) {
        return ut_fail(err, UTTER_ERROR_FORMAT, "%s holds %zu tensors, a voice is one", voice->path,
                       ut_weights_count(table->opened));
    }
    table->weights = table->opened;
    table->rows = *ut_weights_at(table->opened, 0);
    return check_shape(voices, voice, &table->rows, err);
}

static utter_status open_inside(const struct ut_kokoro_voices *voices, const struct voice *voice,
                                struct table *table, utter_error *err) {
    static const char *const prefixes[] = {UT_KOKORO_GGUF_VOICE_PREFIX, "kokoro.voice_tensors."};
    const struct ut_tensor *found = NULL;
    for (size_t k = 0; k < UT_COUNT(prefixes) && !found; k++) {
        char name[MAX_NAME + 32];
        snprintf(name, sizeof name, "%s%s", prefixes[k], voice->name);
        found = ut_weights_find(voices->model, name);
    }
    table->weights = voices->model;
    table->rows = *found;
    return check_shape(voices, voice, &table->rows, err);
}

static void close_table(struct table *table) {
    ut_weights_close(table->opened);
    ut_file_map_close(&table->map);
    *table = (struct table){.is_open = false};
}

/* The table of a voice, opened by whoever comes first. */
static utter_status get_table(const struct ut_kokoro_voices *voices, size_t index,
                              const struct table **out, utter_error *err) {
    static utter_status (*const open[])(const struct ut_kokoro_voices *, const struct voice *,
                                        struct table *, utter_error *) = {
        [IN_MODEL] = open_inside, [SAFETENSORS] = open_file, [TORCH] = open_file, [RAW] = open_raw};
    const struct voice *voice = &voices->voices[index];
    struct table *table = &voices->shared->tables[index];
    utter_status status = UTTER_OK;
    pthread_mutex_lock(&voices->shared->lock);
    if (!table->is_open) {
        status = open[voice->source](voices, voice, table, err);
        if (status) {
            close_table(table);
        }
        table->is_open = status == UTTER_OK;
    }
    pthread_mutex_unlock(&voices->shared->lock);
    *out = table;
    return status;
}

/* Shapes inside the model and sizes of raw files; other files tell theirs when they are opened. */
static utter_status check_voices(const struct ut_kokoro_voices *voices, utter_error *err) {
    utter_status status = UTTER_OK;
    for (size_t i = 0; i < voices->n_voices && status == UTTER_OK; i++) {
        const struct voice *voice = &voices->voices[i];
        const struct table *ignored;
        struct stat info;
        if (voice->source == IN_MODEL) {
            status = get_table(voices, i, &ignored, err);
        } else if (voice->source == RAW) {
            status = stat(voice->path, &info) == 0
                         ? check_size(voices, voice, (uint64_t)info.st_size, err)
                         : ut_fail(err, UTTER_ERROR_IO, "%s: %s", voice->path, strerror(errno));
        }
    }
    return status;
}

/* ---- Opening and closing --------------------------------------------------------------------- */

static utter_status share(struct ut_kokoro_voices *voices, utter_error *err) {
    size_t n_bytes = sizeof(struct shared) + voices->n_voices * sizeof(struct table);
    voices->shared = ut_mem_calloc(voices->mem, UT_MEM_WEIGHTS, 1, n_bytes);
    if (!voices->shared) {
        return ut_fail_memory(err, n_bytes);
    }
    pthread_mutex_init(&voices->shared->lock, NULL);
    return UTTER_OK;
}

static utter_status find_all(struct ut_kokoro_voices *voices, const char *model_path,
                             const struct ut_log *log, utter_error *err) {
    bool may_be_inside = voices->model && ut_weights_format(voices->model) == UT_FORMAT_GGUF;
    utter_status status = may_be_inside ? find_inside(voices, log, err) : UTTER_OK;
    if (status == UTTER_OK && voices->n_voices == 0) {
        voices->model = NULL;
        status = find_beside(voices, model_path, log, err);
    }
    status = status ? status : sort_voices(voices, err);
    status = status ? status : share(voices, err);
    return status ? status : check_voices(voices, err);
}

utter_status ut_kokoro_voices_open(struct ut_mem *mem, const char *model_path,
                                   const struct ut_weights *weights, int n_style,
                                   const struct ut_log *log, struct ut_kokoro_voices **out,
                                   utter_error *err) {
    *out = NULL;
    struct ut_kokoro_voices *voices = ut_mem_calloc(mem, UT_MEM_WEIGHTS, 1, sizeof *voices);
    if (!voices) {
        return ut_fail_memory(err, sizeof *voices);
    }
    voices->mem = mem;
    voices->model = weights;
    voices->n_style = (size_t)n_style;
    utter_status status = find_all(voices, model_path, log, err);
    if (status) {
        ut_kokoro_voices_close(voices);
        return status;
    }
    *out = voices;
    return UTTER_OK;
}

void ut_kokoro_voices_close(struct ut_kokoro_voices *voices) {
    if (!voices) {
        return;
    }
    for (size_t i = 0; i < voices->n_voices; i++) {
        ut_mem_free(voices->mem, voices->voices[i].path);
        if (voices->shared) {
            close_table(&voices->shared->tables[i]);
        }
    }
    if (voices->shared) {
        pthread_mutex_destroy(&voices->shared->lock);
    }
    ut_mem_free(voices->mem, voices->shared);
    ut_mem_free(voices->mem, voices->voices);
    ut_mem_free(voices->mem, voices);
}

size_t ut_kokoro_voices_count(const struct ut_kokoro_voices *voices) {
    return voices->n_voices;
}

const char *ut_kokoro_voices_name(const struct ut_kokoro_voices *voices, size_t index) {
    return voices->voices[index].name;
}

/* ---- Rows ------------------------------------------------------------------------------------ */

/* n values of a row from `first` on, a multiple of CHUNK. */
static utter_status read_values(const struct table *table, size_t n_style, size_t row, size_t first,
                                size_t n, float *dst, const char *name, utter_error *err) {
    struct ut_tensor view = table->rows;
    size_t n_row_bytes = view.n_bytes / UT_KOKORO_VOICE_ROWS;
    /* Whole blocks of a quantized type: both n_style and CHUNK are multiples of them. */
    size_t begin = first * n_row_bytes / n_style, end = (first + n) * n_row_bytes / n_style;
    view.data = (const char *)view.data + row * n_row_bytes + begin;
    view.n_bytes = end - begin;
    view.n_dims = 1;
    view.dims[0] = n;
    view.dims[1] = view.dims[2] = 1;
    if (!ut_tensor_to_f32(&view, dst)) {
        return ut_fail(err, UTTER_ERROR_FORMAT, "voice %s is stored as %s, expected f32", name,
                       ut_dtype_name(view.type));
    }
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(dst[i])) {
            return ut_fail(err, UTTER_ERROR_FORMAT,
                           "voice %s: value %zu of row %zu is not finite: the file is damaged",
                           name, first + i, row);
        }
    }
    return UTTER_OK;
}

static utter_status check_intact(const struct ut_kokoro_voices *voices, size_t index,
                                 const struct table *table, utter_error *err) {
    if (table->weights) {
        return ut_weights_check(table->weights, err);
    }
    return ut_file_map_intact(&table->map)
               ? UTTER_OK
               : ut_fail(err, UTTER_ERROR_IO, "%s changed while it was in use: load it again",
                         voices->voices[index].path);
}

utter_status ut_kokoro_style(const struct ut_kokoro_voices *voices,
                             const struct ut_kokoro_blend *blend, size_t n_symbols, float *style,
                             utter_error *err) {
    const struct table *tables[UT_KOKORO_MAX_BLEND];
    size_t row = n_symbols ? UT_MIN(n_symbols, UT_KOKORO_VOICE_ROWS) - 1 : 0;
    utter_status status = UTTER_OK;
    for (int p = 0; p < blend->n && status == UTTER_OK; p++) {
        status = get_table(voices, blend->parts[p].voice, &tables[p], err);
    }
    for (size_t at = 0; at < voices->n_style && status == UTTER_OK; at += CHUNK) {
        size_t n = UT_MIN(voices->n_style - at, CHUNK);
        double sums[CHUNK] = {0};
        for (int p = 0; p < blend->n && status == UTTER_OK; p++) {
            float values[CHUNK];
            const char *name = voices->voices[blend->parts[p].voice].name;
            status = read_values(tables[p], voices->n_style, row, at, n, values, name, err);
            for (size_t i = 0; i < n && status == UTTER_OK; i++) {
                sums[i] += (double)blend->parts[p].weight * values[i];
            }
        }
        for (size_t i = 0; i < n; i++) {
            style[at + i] = (float)sums[i];
        }
    }
    for (int p = 0; p < blend->n && status == UTTER_OK; p++) {
        status = check_intact(voices, blend->parts[p].voice, tables[p], err);
    }
    return status;
}
