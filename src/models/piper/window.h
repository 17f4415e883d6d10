/* Activations as windows over time, and the convolutions between them: the same calls whether a
 * layer computes in float or in narrow arithmetic (kernels/narrow.h). A window belongs to one
 * session. */
#ifndef UT_PIPER_WINDOW_H
#define UT_PIPER_WINDOW_H

#include "compute/narrow.h"

/* A convolution: tap k of output row t reads input row t + k * dilation - pad. */
struct piper_conv {
    struct ut_layer layer; /* float or narrow */
    int dilation, pad;
};

/* Rows first..end - 1 of an activation, floats or narrow rows as the convolutions that read them
 * need. Rows before 0 and behind the utterance's last are zeros. */
struct ut_piper_window {
    const struct ut_narrow *kind; /* NULL: floats */
    char *data;                   /* row `first` */
    float *scale;                 /* of each row; narrow only */
    ptrdiff_t pitch;              /* bytes */
    int n_ch, zero;               /* zero: of narrow rows */
    int64_t first, end;
};

/* An empty window for the input of `reader`, n_before zero rows in front. `capacity` counts those
 * too. False: no memory. */
bool ut_piper_window_init(struct ut_arena *arena, struct ut_piper_window *w,
                          const struct piper_conv *reader, int64_t capacity, int n_before);
/* The same for floats, whoever reads them. */
bool ut_piper_window_init_floats(struct ut_arena *arena, struct ut_piper_window *w, int n_ch,
                                 int64_t capacity, int n_before);
/* A window for all rows of x [n_rows, reader's n_in], which may yet have to be computed. Floats: it
 * is x itself, which must stand between reader->pad zero rows. Narrow: memory of its own, with
 * those zeros; ut_piper_window_put fills it from x. */
bool ut_piper_window_over(struct ut_arena *arena, struct ut_piper_window *w,
                          const struct piper_conv *reader, float *x, ptrdiff_t x_row, int n_rows);

/* Row `row` of a float window. */
float *ut_piper_window_floats(const struct ut_piper_window *w, int64_t row);
/* Forgets the rows before keep_from. */
void ut_piper_window_drop(struct ut_piper_window *w, int64_t keep_from);
/* The same, and the others go to the memory of `to`, a window of the same kind and channels with
 * room for them: so windows that are not needed at the same time share memory. */
void ut_piper_window_move(struct ut_piper_window *w, int64_t keep_from,
                          const struct ut_piper_window *to);
/* Makes the n rows from w->end on zeros; they are not counted in `end`. */
void ut_piper_window_pad(struct ut_piper_window *w, int n);
/* Row 0 of x and n_rows - 1 more into the rows from `row` on of a window over x: nothing to do for
 * floats. */
void ut_piper_window_put(const struct ut_compute *compute, const struct ut_piper_window *w,
                         int64_t row, const float *x, ptrdiff_t x_row, int n_rows);

/* v = (conv(x)[t] + add[t] + add2[t]) * scale; y[t] = v; row act_from + t * act_step of `act` is v,
 * times `slope` where negative. `end` of act is the caller's to move. */
struct ut_piper_step {
    const struct ut_piper_window *x;
    int64_t from;            /* output row 0 stands at this row of x */
    const float *bias;       /* NULL: the layer's own */
    const float *add, *add2; /* NULL: none; may be y */
    float *y;                /* NULL: not wanted */
    ptrdiff_t row;           /* floats between rows of add, add2 and y */
    /* NULL: not wanted. Narrow rows come from a float layer by way of y, which must be given then.
     */
    const struct ut_piper_window *act;
    int64_t act_from;
    int act_step;
    float scale, slope;
    int n_rows;
};
/* For layers without minimal form. */
void ut_piper_step(const struct ut_compute *compute, const struct piper_conv *conv,
                   const struct ut_piper_step *step);
/* For any layer. One by minimal filtering starts at a multiple of its grid (compute/minimal.h) and
 * stops at one or at the end of the utterance. Takes scratch from `arena` and gives it back; false
 * when there is no memory. */
bool ut_piper_filter_step(const struct ut_compute *compute, struct ut_arena *arena,
                          const struct piper_conv *conv, const struct ut_piper_step *step);
/* Rows between the places where such a call may start. */
int ut_piper_grid(const struct piper_conv *conv);
/* The end of the rows that can be made of what x has, at most `most`, of an utterance of `total`. */
int64_t ut_piper_rows_possible(const struct piper_conv *conv, const struct ut_piper_window *x,
                               int64_t total, int64_t most);
/* Rows of input behind which `to` rows are possible. */
int64_t ut_piper_rows_needed(const struct piper_conv *conv, int64_t to);

#endif
