/* utter eval: the figures as the program shows them. */
#ifndef UT_CLI_EVAL_H
#define UT_CLI_EVAL_H

#include "cli.h"

/* One comparison; `name` of a folder's pair is the files' common stem, NULL for two files. */
struct eval_pair {
    const char *name, *ref_path, *test_path;
    double seconds[2];
    int32_t rates_hz[2];
    utter_quality quality;
};

/* What MEAN and WORST are taken of, in the order of the columns. */
enum { EVAL_N_FIGURES = 6 };
struct eval_figures {
    double values[EVAL_N_FIGURES]; /* NAN: does not exist */
};

struct eval_figures eval_figures_of(const utter_quality *quality);

/* Over n pairs, those without a figure left out; equal sounds count as 99 dB of SNR. */
struct eval_figures eval_mean(const struct eval_figures *rows, size_t n);
struct eval_figures eval_worst(const struct eval_figures *rows, size_t n);

/* Two files in full: both sides, every figure, and what each means. */
void eval_print_pair(const struct eval_pair *pair);
/* A table: the heading, one line, and the meaning of each figure of a line. */
void eval_print_heading(int name_width);
void eval_print_row(const char *name, int name_width, const struct eval_figures *figures);
void eval_print_meanings(const struct eval_figures *figures);

/* NULL when memory ran out. */
json_t *eval_pair_json(const struct eval_pair *pair);
json_t *eval_figures_json(const struct eval_figures *figures);

#endif
