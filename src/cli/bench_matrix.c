/* utter bench, the matrix: each cell in turn, round after round, every turn in a process of its
 * own, so that peak memory and load time are the cell's and a load of the machine meets all cells
 * alike. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "interrupt.h"
#include "progress.h"
#include "settings.h"

/* ---- Cells ------------------------------------------------------------------------------------
 */

/* 1 or 0; -1 with a message. */
static int onnx_is_available(const struct cli_common *common) {
    utter_engine *engine = NULL;
    utter_error err = {0};
    char *text = NULL;
    if (!cli_open_engine(common, &engine)) {
        return -1;
    }
    utter_status status = utter_backends(engine, NULL, &text, &err);
    utter_engine_destroy(engine);
    if (status != UTTER_OK) {
        cli_print_error("%s", err.message);
        return -1;
    }
    json_t *report = cli_parse_json(text), *entry;
    size_t i;
    int available = report ? 0 : -1;
    json_array_foreach(report, i, entry) {
        const char *type = json_string_value(json_object_get(entry, "type"));
        if (type && strcmp(type, "onnx") == 0) {
            available = json_is_true(json_object_get(entry, "available"));
        }
    }
    json_decref(report);
    return available;
}

/* The cells of one model on one backend: over precisions, threads, streams and inputs. */
static bool append_cells(struct bench_matrix *matrix, struct bench_cell cell) {
    const struct bench_options *o = matrix->options;
    bool narrows =
        strcmp(cell.backend, "native") == 0; /* the others compute as the file is stored */
    size_t n_inputs = o->n_texts + o->n_lengths + (o->ids != NULL);
    size_t n_precisions = narrows && o->n_precisions ? o->n_precisions : 1;
    size_t n_threads = o->n_thread_counts ? o->n_thread_counts : 1;
    size_t n_streams = o->n_stream_counts ? o->n_stream_counts : 1;
    size_t n = n_precisions * n_threads * n_streams * n_inputs;
    if (matrix->n_cells + n > BENCH_MAX_CELLS) {
        cli_print_error("the matrix has more than %d cells", BENCH_MAX_CELLS);
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        size_t precision = i % n_precisions, rest = i / n_precisions;
        size_t input = rest / (n_threads * n_streams);
        cell.precision = !narrows              ? "stored"
                         : o->n_precisions     ? setting_precisions[o->precisions[precision]]
                         : o->common.precision ? o->common.precision
                                               : "auto";
        cell.n_threads =
            o->n_thread_counts ? o->thread_counts[rest % n_threads] : o->common.n_threads;
        cell.n_streams = o->n_stream_counts ? o->stream_counts[rest / n_threads % n_streams]
                                            : (int32_t)o->n_streams;
        cell.text = input < o->n_texts ? o->texts[input] : NULL;
        bool made_up = input >= o->n_texts && input - o->n_texts < o->n_lengths;
        cell.length = made_up ? o->lengths[input - o->n_texts] : 0;
        matrix->cells[matrix->n_cells++] = cell;
    }
    return true;
}

/* Models in the order of the line; for each its backends. */
static bool list_cells(struct bench_matrix *matrix) {
    const struct bench_options *o = matrix->options;
    int onnx = 1;
    if (o->n_backends == 0 && o->common.backend == UTTER_BACKEND_AUTO &&
        (onnx = onnx_is_available(&o->common)) < 0) {
        return false;
    }
    for (size_t m = 0; m < o->n_models; m++) {
        struct bench_cell cell = {.model = o->models[m]};
        bool ok = true;
        if (o->n_backends == 0 && o->common.backend != UTTER_BACKEND_AUTO) {
            cell.backend = bench_backends[o->common.backend - 1];
            ok = append_cells(matrix, cell);
        } else if (o->n_backends == 0) {
            /* Where a model is for one of the two only, the other is left out. */
            cell.is_optional = true;
            cell.backend = "native";
            ok = append_cells(matrix, cell);
            cell.backend = "onnx";
            ok = ok && (!onnx || append_cells(matrix, cell));
        }
        for (size_t i = 0; ok && i < o->n_backends; i++) {
            cell.backend = bench_backends[o->backends[i]];
            ok = append_cells(matrix, cell);
        }
        if (!ok) {
            return false;
        }
    }
    return true;
}

/* ---- Turns ------------------------------------------------------------------------------------
 */

/* An option and its value; nothing for NULL, so that defaults stay the child's. */
static void put(struct bench_command *command, const char *name, const char *value) {
    if (value) {
        command->arguments[command->n++] = name;
        command->arguments[command->n++] = value;
    }
}

/* The text lives in the command, which must not be copied. */
static void put_number(struct bench_command *command, const char *name, uint64_t number) {
    char *text = command->numbers[command->n_numbers++];
    snprintf(text, sizeof command->numbers[0], "%" PRIu64, number);
    put(command, name, text);
}

/* An option without a value. */
static void put_flag(struct bench_command *command, const char *name, bool on) {
    if (on) {
        command->arguments[command->n++] = name;
    }
}

/* What is asked for, whichever turn. */
static void begin_command(struct bench_command *command, const struct bench_options *o,
                          const struct bench_cell *cell) {
    bool native = strcmp(cell->backend, "native") == 0, onnx = strcmp(cell->backend, "onnx") == 0;
    *command = (struct bench_command){.arguments = {"bench", "--json"}, .n = 2};
    put(command, "--model", cell->model);
    put(command, "--backend", cell->backend);
    put(command, "--precision", native ? cell->precision : NULL);
    put(command, "--provider", onnx ? o->common.provider : NULL);
    put(command, "--coreml-path", onnx ? o->common.coreml_path : NULL);
    put(command, "--onnxruntime", o->common.onnxruntime);
    put(command, "--cpu", o->common.cpu);
    put(command, "--voice", o->voice);
    put(command, "--speaker", o->speaker);
    if (o->common.memory_limit_bytes) {
        put_number(command, "--memory-limit", o->common.memory_limit_bytes);
    }
    put_flag(command, "--mlock", o->common.mlock);
    put_flag(command, "--exact", o->common.exact);
    if (cell->length) {
        put_number(command, "--lengths", (uint64_t)cell->length);
    } else {
        put(command, cell->text ? "--text" : "--ids", cell->text ? cell->text : o->ids_text);
    }
}

/* Every turn of a native cell with one stream has a profile, which is taken beside its runs. */
static void make_command(struct bench_command *command, const struct bench_options *o,
                         const struct bench_cell *cell) {
    begin_command(command, o, cell);
    put(command, "--scales", o->scales_text);
    put_number(command, "--threads", (uint64_t)cell->n_threads);
    put_number(command, "--streams", (uint64_t)cell->n_streams);
    put_number(command, "--parallel", (uint64_t)o->n_parallel);
    put_number(command, "--runs", (uint64_t)o->n_runs);
    /* Stages are told of sentences spoken one after the other only: where they are anyway. */
    put_flag(command, "--profile",
             strcmp(cell->backend, "native") == 0 && cell->n_streams == 1 &&
                 (cell->n_threads == 1 || !cell->text));
}

void bench_quality_command(struct bench_command *command, const struct bench_options *options,
                           const struct bench_cell *cell, const char *file) {
    begin_command(command, options, cell);
    put(command, "--scales", "0,1,0");
    put(command, "--samples", file);
    put_number(command, "--runs", 1);
}

/* *ok becomes false when it is missing or no number. */
static double number_of(const json_t *object, const char *name, bool *ok) {
    const json_t *value = json_object_get(object, name);
    *ok = *ok && json_is_number(value);
    return json_number_value(value);
}

/* The answer of round n_rounds into the cell, which takes the reference. */
static void take_turn(struct bench_cell *cell, size_t n_runs, json_t *answer) {
    const json_t *runs = json_object_get(answer, "runs");
    bool ok = json_array_size(runs) == n_runs;
    for (size_t i = 0; ok && i < n_runs; i++) {
        const json_t *run = json_array_get(runs, i), *latency = json_object_get(run, "latency_s");
        struct bench_run *out = &cell->runs[cell->n_rounds * n_runs + i];
        *out = (struct bench_run){.wall_s = number_of(run, "wall_s", &ok),
                                  .cpu_s = number_of(run, "cpu_s", &ok),
                                  .audio_s = number_of(run, "audio_s", &ok),
                                  .first_audio_s = number_of(run, "first_audio_s", &ok),
                                  .peak_rss_mb = number_of(run, "peak_rss_mb", &ok)};
        out->latency_s = latency ? json_number_value(latency) : out->wall_s;
    }
    cell->loads_s[cell->n_rounds] = number_of(answer, "load_s", &ok);
    cell->answers = cell->answers ? cell->answers : json_array();
    ok = json_array_append_new(cell->answers, answer) == 0 && ok;
    cell->facts = json_array_get(cell->answers, json_array_size(cell->answers) - 1);
    cell->n_runs_round = n_runs;
    cell->n_rounds += ok;
    if (!ok) {
        snprintf(cell->reason, sizeof cell->reason, "its answer lacks figures");
    }
}

/* What is left is taken from the turns so far; rounds are alike, so from the second on it is near
 * the truth. */
static void show_progress(const struct bench_matrix *matrix, size_t round, size_t cell,
                          double start_s) {
    size_t n_rounds = (size_t)matrix->options->n_rounds;
    size_t done = round * matrix->n_cells + cell, total = n_rounds * matrix->n_cells;
    char label[64], line[120], left[40] = "";
    if (matrix->options->quiet || !isatty(STDERR_FILENO)) {
        return;
    }
    bench_cell_label(matrix, &matrix->cells[cell], label, sizeof label);
    if (done > 0) {
        double rest_s = (bench_clock_s() - start_s) / (double)done * (double)(total - done);
        snprintf(left, sizeof left, ", %d:%02d to go", (int)rest_s / 60, (int)rest_s % 60);
    }
    snprintf(line, sizeof line, "round %zu of %zu%s: %s", round + 1, n_rounds, left, label);
    progress_show_share(done, total, line);
}

/* False: a signal came. */
static bool run_turn(struct bench_matrix *matrix, struct bench_cell *cell) {
    struct bench_command command;
    make_command(&command, matrix->options, cell);
    json_t *answer = bench_child(command.arguments, cell->reason);
    if (answer) {
        take_turn(cell, (size_t)matrix->options->n_runs, answer);
    }
    return interrupt_signal() == 0;
}

/* Round by round over all cells, not cell by cell: what disturbs the machine for a minute meets
 * all. */
static bool run_rounds(struct bench_matrix *matrix) {
    double start_s = bench_clock_s();
    for (size_t round = 0; round < (size_t)matrix->options->n_rounds; round++) {
        for (size_t i = 0; i < matrix->n_cells; i++) {
            show_progress(matrix, round, i, start_s);
            if (!matrix->cells[i].reason[0] && !run_turn(matrix, &matrix->cells[i])) {
                return false;
            }
        }
    }
    progress_clear_line();
    return true;
}

/* ---- All --------------------------------------------------------------------------------------
 */

/* `facts` is one of the answers and goes with them. */
static void free_cell(struct bench_cell *cell) {
    json_decref(cell->answers);
    free(cell->runs);
    free(cell->loads_s);
}

/* Whether any cell of the model, on that backend (NULL: on any), speaks. */
static bool runs_on(const struct bench_matrix *matrix, const char *model, const char *backend) {
    bool runs = false;
    for (size_t i = 0; i < matrix->n_cells; i++) {
        const struct bench_cell *cell = &matrix->cells[i];
        bool of_these = cell->model == model && (!backend || strcmp(cell->backend, backend) == 0);
        runs = runs || (of_these && !cell->reason[0]);
    }
    return runs;
}

/* Backends that nobody asked for by name, for models that they cannot run and another one can. */
static void drop_optional(struct bench_matrix *matrix) {
    bool drop[BENCH_MAX_CELLS];
    size_t n = 0;
    for (size_t i = 0; i < matrix->n_cells; i++) {
        const struct bench_cell *cell = &matrix->cells[i];
        drop[i] = cell->is_optional && !runs_on(matrix, cell->model, cell->backend) &&
                  runs_on(matrix, cell->model, NULL);
    }
    for (size_t i = 0; i < matrix->n_cells; i++) {
        struct bench_cell *cell = &matrix->cells[i];
        if (!drop[i]) {
            matrix->cells[n++] = *cell;
            continue;
        }
        bool is_told = i > 0 && drop[i - 1] && cell[-1].model == cell->model &&
                       strcmp(cell[-1].backend, cell->backend) == 0;
        if (!matrix->options->quiet && !is_told) {
            cli_print_note("left out: %s on %s: %s", cell->model, cell->backend, cell->reason);
        }
        free_cell(cell);
    }
    matrix->n_cells = n;
}

/* Room for all rounds, so that no turn can fail for want of memory. */
static bool allocate_runs(struct bench_matrix *matrix) {
    size_t n_rounds = (size_t)matrix->options->n_rounds, n_runs = (size_t)matrix->options->n_runs;
    for (size_t i = 0; i < matrix->n_cells; i++) {
        struct bench_cell *cell = &matrix->cells[i];
        cell->runs = calloc(n_rounds * n_runs, sizeof *cell->runs);
        cell->loads_s = calloc(n_rounds, sizeof *cell->loads_s);
        if (!cell->runs || !cell->loads_s) {
            cli_print_error("out of memory for %zu runs", n_rounds * n_runs);
            return false;
        }
    }
    return true;
}

static int write_json_file(const char *path, const json_t *json) {
    if (json && json_dump_file(json, path, JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(9)) == 0) {
        return EXIT_OK;
    }
    cli_print_error("%s could not be written", path);
    return EXIT_FAILED;
}

/* Everything that was asked for is written, also when one of them fails; the exit code tells. */
static int report(const struct bench_matrix *matrix) {
    const struct bench_options *o = matrix->options;
    int code = EXIT_OK, written = EXIT_OK;
    for (size_t i = 0; i < matrix->n_cells; i++) {
        code = matrix->cells[i].reason[0] ? EXIT_FAILED : code;
    }
    json_t *json = o->common.json || o->json_file ? bench_matrix_json(matrix) : NULL;
    if (o->json_file) {
        written = write_json_file(o->json_file, json);
    }
    if (o->html_file && bench_write_html(matrix, o->html_file) != EXIT_OK) {
        written = EXIT_FAILED;
    }
    if (o->common.json) {
        written = cli_print_json(json) == EXIT_OK ? written : EXIT_FAILED;
    } else {
        json_decref(json);
        written =
            bench_print_tables(matrix) && cli_finish_output() == EXIT_OK ? written : EXIT_FAILED;
    }
    return written == EXIT_OK ? code : written;
}

/* Signals are held: the child that runs is ended, and nothing half-measured is reported. */
int bench_matrix(const struct bench_options *options) {
    struct bench_matrix matrix = {.options = options,
                                  .cells = calloc(BENCH_MAX_CELLS, sizeof *matrix.cells)};
    int code = EXIT_FAILED;
    if (!matrix.cells) {
        cli_print_error("out of memory");
        return EXIT_FAILED;
    }
    if (!interrupt_start()) {
        cli_print_warning("an interrupted run may leave a child behind");
    }
    interrupt_hold(true);
    if (list_cells(&matrix) && allocate_runs(&matrix)) {
        if ((!options->quality || bench_measure_quality(&matrix)) && run_rounds(&matrix)) {
            drop_optional(&matrix);
            code = report(&matrix);
        } else if (interrupt_signal() != 0) {
            progress_clear_line();
            cli_print_note("interrupted");
            code = 128 + interrupt_signal();
        }
    }
    interrupt_hold(false);
    for (size_t i = 0; i < matrix.n_cells; i++) {
        free_cell(&matrix.cells[i]);
    }
    free(matrix.cells);
    return code;
}
