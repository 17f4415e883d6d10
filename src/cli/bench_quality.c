/* How far each cell sounds from the native voice in f32: one more run of each model, backend,
 * precision and input, without noise where the voice lets it be turned off, so that backends with
 * generators of their own can be compared. Threads and streams do not change what is heard. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench.h"
#include "interrupt.h"
#include "progress.h"

/* Samples as a child wrote them: 32-bit floats in the machine's order. */
struct sound {
    float *samples; /* NULL: none */
    size_t n;
    int32_t rate_hz;
    char family[24];
};

struct reference {
    const char *model, *text;
    int32_t length;
    struct sound sound;
};

struct measuring {
    struct bench_matrix *matrix;
    struct reference *references; /* [n_cells * n_models] at most; one for each model and input */
    size_t n_references;
    char file[PATH_MAX]; /* where a child puts its samples */
};

/* What a child wrote; false when there is nothing, or no memory. */
static bool read_samples(const char *path, struct sound *sound) {
    struct stat info;
    FILE *file = fopen(path, "rbe");
    bool ok = file && fstat(fileno(file), &info) == 0 && info.st_size > 0;
    if (ok) {
        sound->n = (size_t)info.st_size / sizeof *sound->samples;
        sound->samples = malloc(sound->n * sizeof *sound->samples);
        ok = sound->samples &&
             fread(sound->samples, sizeof *sound->samples, sound->n, file) == sound->n;
    }
    if (file) {
        fclose(file);
    }
    if (!ok) {
        free(sound->samples);
        sound->samples = NULL;
    }
    return ok;
}

/* Why it does not speak is told by the cell's first turn, so not here. */
static bool speak(struct measuring *m, const struct bench_cell *cell, struct sound *sound) {
    char reason[BENCH_REASON_SIZE];
    struct bench_command command;
    bench_quality_command(&command, m->matrix->options, cell, m->file);
    json_t *answer = bench_child(command.arguments, reason);
    *sound = (struct sound){0};
    bool ok = answer && read_samples(m->file, sound);
    const char *family = json_string_value(json_object_get(answer, "family"));
    sound->rate_hz = (int32_t)json_integer_value(json_object_get(answer, "sample_rate_hz"));
    snprintf(sound->family, sizeof sound->family, "%s", family ? family : "");
    json_decref(answer);
    unlink(m->file);
    return ok;
}

static bool same_input(const struct bench_cell *cell, const char *text, int32_t length) {
    return cell->text == text && cell->length == length;
}

/* The native f32 voice of `model` for the input of `cell`, spoken once. */
static const struct sound *reference_of(struct measuring *m, const struct bench_cell *cell,
                                        const char *model) {
    for (size_t i = 0; i < m->n_references; i++) {
        if (m->references[i].model == model &&
            same_input(cell, m->references[i].text, m->references[i].length)) {
            return &m->references[i].sound;
        }
    }
    struct reference *reference = &m->references[m->n_references++];
    *reference = (struct reference){.model = model, .text = cell->text, .length = cell->length};
    struct bench_cell native = *cell;
    native.model = model;
    native.backend = "native";
    native.precision = "f32";
    speak(m, &native, &reference->sound);
    return &reference->sound;
}

/* Of the cell's own model; where that is not for native voices, of the first of its family that is.
 */
static const struct sound *find_reference(struct measuring *m, const struct bench_cell *cell,
                                          const char *family) {
    const struct sound *own = reference_of(m, cell, cell->model);
    for (size_t i = 0; !own->samples && i < m->matrix->n_cells; i++) {
        const struct sound *other = reference_of(m, cell, m->matrix->cells[i].model);
        own = other->samples && strcmp(other->family, family) == 0 ? other : own;
    }
    return own->samples ? own : NULL;
}

/* Without pitch: it says little of the same sentence in another precision, and takes most of the
 * time. */
static void compare(struct measuring *m, struct bench_cell *cell) {
    struct sound sound;
    utter_compare_options options;
    utter_error err = {0};
    if (!speak(m, cell, &sound)) {
        return;
    }
    const struct sound *reference = find_reference(m, cell, sound.family);
    if (reference) {
        utter_sound a = {reference->samples, reference->n, reference->rate_hz};
        utter_sound b = {sound.samples, sound.n, sound.rate_hz};
        utter_compare_options_init(&options);
        options.no_pitch = true;
        cell->quality.size = sizeof cell->quality;
        cell->has_quality = utter_compare(&a, &b, &options, &cell->quality, &err) == UTTER_OK;
    }
    if (err.code != UTTER_OK) {
        cli_print_warning("%s", err.message);
    }
    free(sound.samples);
}

static bool sounds_alike(const struct bench_cell *a, const struct bench_cell *b) {
    return a->model == b->model && strcmp(a->backend, b->backend) == 0 &&
           strcmp(a->precision, b->precision) == 0 && same_input(a, b->text, b->length);
}

/* A cell that sounds like an earlier one takes its figures. */
static bool compare_all(struct measuring *m) {
    struct bench_matrix *matrix = m->matrix;
    for (size_t i = 0; i < matrix->n_cells && interrupt_signal() == 0; i++) {
        struct bench_cell *cell = &matrix->cells[i];
        const struct bench_cell *like = cell;
        for (size_t k = 0; k < i && like == cell; k++) {
            like = sounds_alike(&matrix->cells[k], cell) ? &matrix->cells[k] : cell;
        }
        if (!matrix->options->quiet && isatty(STDERR_FILENO)) {
            progress_show_share(i, matrix->n_cells, "how they sound");
        }
        if (like == cell) {
            compare(m, cell);
        } else {
            cell->has_quality = like->has_quality;
            cell->quality = like->quality;
        }
    }
    progress_clear_line();
    return interrupt_signal() == 0;
}

/* A folder of our own: nobody else can have put a link there. */
bool bench_measure_quality(struct bench_matrix *matrix) {
    const char *folder = getenv("TMPDIR");
    struct measuring m = {.matrix = matrix};
    char name[PATH_MAX];
    snprintf(name, sizeof name, "%s/utter-bench-XXXXXX", folder && *folder ? folder : "/tmp");
    size_t n_references = matrix->n_cells * matrix->options->n_models;
    m.references = calloc(n_references, sizeof *m.references);
    if (!m.references || !mkdtemp(name)) {
        cli_print_error("no folder for samples: %s: %s", name, strerror(errno));
        free(m.references);
        return false;
    }
    snprintf(m.file, sizeof m.file, "%.*s/samples.f32", (int)sizeof m.file - 16, name);
    bool ok = compare_all(&m);
    unlink(m.file);
    rmdir(name);
    for (size_t i = 0; i < m.n_references; i++) {
        free(m.references[i].sound.samples);
    }
    free(m.references);
    return ok;
}
