/* What the files of "utter bench" share. One cell is a model in one precision on one backend, with
 * a number of threads and streams, speaking one input. The simple form measures one cell in this
 * process; the matrix runs a child of the simple form for each turn of each cell. */
#ifndef UT_CLI_BENCH_H
#define UT_CLI_BENCH_H

#include "cli.h"

enum {
    BENCH_MAX_RUNS = 1000, /* of one process */
    BENCH_MAX_ROUNDS = 100,
    BENCH_MAX_STAGES = 24, /* of a model */
    BENCH_MAX_LIST = 16,   /* values of one list option */
    BENCH_MAX_CELLS = 256,
    BENCH_MAX_STREAMS = 64,
    BENCH_REASON_SIZE = 400,
    BENCH_MAX_LABEL = 36 /* bytes */
};

/* One run, or what the streams that spoke at once gave together. Seconds. */
struct bench_run {
    double wall_s, cpu_s;
    double audio_s;       /* of all streams */
    double first_audio_s; /* mean of the streams, as is latency_s */
    double latency_s;     /* until a stream was done; wall_s when there is one */
    double peak_rss_mb;   /* of the process, so far */
};

/* What the command line said, for both forms. Strings are its own. */
struct bench_options {
    struct cli_common common;
    const char *models[BENCH_MAX_LIST], *texts[BENCH_MAX_LIST];
    size_t n_models, n_texts;
    const char *ids_text; /* as given; NULL: a text or a length */
    int32_t *ids;
    size_t n_ids;
    int32_t lengths[BENCH_MAX_LIST]; /* phonemes of a made-up sentence */
    size_t n_lengths;
    const char *scales_text, *voice, *speaker;
    float scales[3]; /* noise, length, noise_w */
    int64_t n_runs, n_rounds, n_streams, n_parallel;
    bool quiet, profile, quality;
    const char *samples_file; /* of the warm-up run; NULL: none */
    /* The matrix. */
    bool is_matrix;
    int precisions[BENCH_MAX_LIST], backends[BENCH_MAX_LIST]; /* places in the tables below */
    size_t n_precisions, n_backends;
    int32_t thread_counts[BENCH_MAX_LIST], stream_counts[BENCH_MAX_LIST];
    size_t n_thread_counts, n_stream_counts;
    const char *base;
    const char *json_file, *html_file;
};

extern const char *const bench_backends[]; /* ends with NULL */
extern const char bench_default_text[];

double bench_clock_s(void); /* seconds of the monotonic clock */

/* ---- The simple form: bench_voice.c -------------------------------------------------------------
 */

/* Measures and prints. Returns an exit code. */
int bench_voice(const struct bench_options *options);

/* ---- A child: bench_child.c ---------------------------------------------------------------------
 */

/* Runs this program with these arguments (ending with NULL, the program's name not among them) and
 * waits for it. Its standard output as JSON, or NULL with the last message of its standard error in
 * `reason` [BENCH_REASON_SIZE]; "" when a signal came (interrupt_signal), which ends the child too.
 */
json_t *bench_child(const char *const *arguments, char *reason);

/* What makes a child of the simple form. */
struct bench_command {
    const char *arguments[64];
    size_t n;
    char numbers[8][24];
    size_t n_numbers;
};

/* ---- The matrix: bench_matrix.c -----------------------------------------------------------------
 */

struct bench_cell {
    const char *model, *backend, *precision; /* as asked for */
    const char *text; /* NULL: `length` phonemes, or the ids when that is 0 */
    int32_t length, n_threads, n_streams;
    bool is_optional;               /* not asked for by name: left out when it cannot run */
    char reason[BENCH_REASON_SIZE]; /* why it does not run; "": it does */
    bool has_quality;
    utter_quality quality; /* beside the native voice in f32, without pitch */
    /* From its children. */
    json_t *answers;               /* an array; NULL: none */
    const json_t *facts;           /* the last of them */
    struct bench_run *runs;        /* [n_rounds * n_runs], in the order of the rounds */
    double *loads_s;               /* [n_rounds] */
    size_t n_rounds, n_runs_round; /* done; runs of each */
};

struct bench_matrix {
    const struct bench_options *options;
    struct bench_cell *cells; /* those that were dropped are no longer among them */
    size_t n_cells;
};

/* Returns an exit code: EXIT_FAILED when a cell that was asked for did not run, 128 + N after
 * signal N. */
int bench_matrix(const struct bench_options *options);

/* One run without noise, whose samples go to `file`. */
void bench_quality_command(struct bench_command *command, const struct bench_options *options,
                           const struct bench_cell *cell, const char *file);

/* ---- How it sounds: bench_quality.c -------------------------------------------------------------
 */

/* Fills `quality` of the cells that speak. False: a signal came, or there is no place for samples,
 * with a message. */
bool bench_measure_quality(struct bench_matrix *matrix);

/* ---- What a cell came to: bench_summary.c -------------------------------------------------------
 */

struct bench_spread {
    double median, low, high;
};

struct bench_summary {
    double latency_mean_s, latency_std_s;
    double rtf_mean, rtf_p95; /* wall seconds for a second of sound; of all streams together */
    double cpu_rtf_mean, cpu_rtf_p95; /* processor seconds for a second of sound */
    double first_audio_s, load_s;     /* medians */
    double cpu_share;                 /* processor time by wall time: 2 is two cores busy */
    double audio_s;                   /* of one run, median */
    double throughput; /* seconds of sound in a second, of all streams together; median */
    double peak_rss_mb, file_mb;
    /* The base's time by this cell's, of each round: above 1 is faster than the base. */
    struct bench_spread wall_ratio, cpu_ratio;
};

/* For a cell with at least one round. `base` may be the cell itself. False: no memory. */
bool bench_summarize(const struct bench_cell *cell, const struct bench_cell *base,
                     struct bench_summary *out);

/* The cell that another is compared with: that of the same family, input, threads and streams which
 * --base describes, else the first on ONNX Runtime, else native f32, else native. NULL: none of
 * them ran. */
const struct bench_cell *bench_base_of(const struct bench_matrix *matrix,
                                       const struct bench_cell *cell);

/* Beside the base: "faster, smaller", and what follows from it. Static storage. By wall time when
 * several threads or streams are at work, by processor time else, which other programs disturb
 * less. */
struct bench_verdict {
    const char *words, *advice;
};
struct bench_verdict bench_judge(const struct bench_cell *cell, const struct bench_summary *summary,
                                 const struct bench_summary *base);
/* The ratio that decides. */
struct bench_spread bench_ratio(const struct bench_cell *cell, const struct bench_summary *summary);

/* ---- Stages: bench_stages.c ---------------------------------------------------------------------
 */

struct bench_stage {
    const char *name; /* lives as long as the answers */
    double time_s;    /* processor time with one thread, else wall time; medians of the rounds */
    double wall_s, cpu_s;
    double macs_f32, macs_bf16, macs_int8, weight_bytes;
    double mac_bound_s,
        read_bound_s; /* what products and weights take at the least; -1: not known */
};

/* From an array of answers with "stages" and "peaks"; how many there are, 0 when the voice is not
 * native. */
size_t bench_stages(const json_t *answers, struct bench_stage *out, size_t max);
/* The larger of the two; -1: not known. */
double bench_stage_bound(const struct bench_stage *stage);
void bench_print_peaks(const json_t *answers);
void bench_print_stages(const struct bench_stage *stages, size_t n);

/* ---- Reports: bench_report.c --------------------------------------------------------------------
 */

/* "medium native int8, threads: 2": what tells the cell from the others. */
void bench_cell_label(const struct bench_matrix *matrix, const struct bench_cell *cell, char *out,
                      size_t size);
/* Makes a text from anywhere fit for terminals, JSON and HTML: bytes that are no UTF-8, and control
 * characters, become '?'. */
void bench_clean(char *text);

struct bench_row {
    char label[BENCH_MAX_LABEL + 1];
    const struct bench_cell *cell, *base;       /* base NULL: none */
    struct bench_summary summary, base_summary; /* of cells that ran */
};

struct bench_rows {
    struct bench_row *items; /* one for each cell; to be freed */
    size_t n;
    int width; /* of the longest label */
};
/* False: no memory, with a message; items is to be freed then too. */
bool bench_make_rows(const struct bench_matrix *matrix, struct bench_rows *rows);

/* The verdict's advice, with a warning where the sound was measured and is far from that of native
 * f32. */
void bench_advise(const struct bench_row *row, char *out, size_t size);

/* Whether row `index` is the first that failed as it did, with its model and backend, and how many
 * did. */
bool bench_failure(const struct bench_rows *rows, size_t index, size_t *n);

/* The tables on standard output. False: no memory, with a message. */
bool bench_print_tables(const struct bench_matrix *matrix);
json_t *bench_matrix_json(const struct bench_matrix *matrix);

/* ---- One page: bench_html.c, bench_svg.c --------------------------------------------------------
 */

/* EXIT_OK, or EXIT_FAILED with a message. */
int bench_write_html(const struct bench_matrix *matrix, const char *path);

/* Text between tags or in an attribute. */
void bench_html_text(FILE *out, const char *text);

struct bench_bar {
    const char *label;
    double value;
    double low, high; /* whiskers; equal: none */
    double mark;      /* a line across; negative: none */
    bool is_base;
    char text[48]; /* behind the bar */
};
/* Bars from 0 with their labels to the left; `line` crosses all of them, where it is positive. */
void bench_svg_bars(FILE *out, const char *title, const struct bench_bar *bars, size_t n,
                    double line);

struct bench_point {
    const char *label;
    double x, y;
    bool is_base;
};
void bench_svg_points(FILE *out, const char *title, const char *x_name, const char *y_name,
                      const struct bench_point *points, size_t n);

#endif
