/* Minimal filtering: convolutions over time with fewer multiplications (kernels/filter_tiles.h). A kernel is
 * cut into equal pieces of taps; for each of n_points points, the channels of all pieces are one matrix
 * product (an ordinary conv_f32), and all pieces share one output transform.
 *
 * Tiles stand on a grid of n_outputs * dilation rows that starts at row 0 of a call, and a tile's outputs
 * depend on all of its inputs, those that the convolution itself would not read for a row among them. So a
 * caller that makes an utterance in several calls gets the bits of a single one if every call but the last
 * starts at a multiple of ut_minimal_grid(layer) * dilation rows of the utterance and makes such a multiple;
 * no call reads more rows than the plain convolution. Numbers of threads never matter. */
#ifndef UT_COMPUTE_MINIMAL_H
#define UT_COMPUTE_MINIMAL_H

#include "compute/compute.h"

/* F(n_outputs, n_piece_taps) of Winograd, summed over n_pieces. */
struct ut_minimal_scheme {
    const char *name; /* "F(5,6)x2" */
    int n_taps, n_pairs, n_outputs, n_piece_taps, n_pieces;
};

/* All there are, in a fixed order; several for each number of taps. */
extern const struct ut_minimal_scheme ut_minimal_schemes[];
extern const int ut_minimal_n_schemes;
/* By number of taps and name; NULL: none. */
const struct ut_minimal_scheme *ut_minimal_find(int n_taps, const char *name);

/* For layers of n_in -> n_out channels (0: any) and n_taps taps. */
struct ut_minimal_rule {
    int n_in, n_out, n_taps;
    const struct ut_minimal_scheme *scheme; /* NULL: the plain convolution */
};
enum { UT_MINIMAL_MAX_RULES = 64 };
struct ut_minimal_table {
    int n_rules;
    struct ut_minimal_rule rules[UT_MINIMAL_MAX_RULES]; /* the first that fits counts */
};

/* What a layer of these sizes is packed for: by compute->minimal, else as measured. NULL: the plain
 * convolution, always so where compute->exact. */
const struct ut_minimal_scheme *ut_minimal_choose(const struct ut_compute *compute, int n_in,
                                                  int n_out, int n_taps);

/* A packed layer's scheme. Its panels: for each point those of a plain layer with n_pieces taps. */
struct ut_minimal {
    const struct ut_minimal_scheme *scheme;
    struct ut_filter_points points;
};

static inline int ut_minimal_n_points(const struct ut_minimal *minimal) {
    return 2 * minimal->scheme->n_pairs + 2;
}

/* The matrices of a scheme. kernel[point][tap]: the weights' transform. */
void ut_minimal_matrices(const struct ut_minimal_scheme *scheme, struct ut_filter_points *points,
                         double kernel[UT_FILTER_MAX_POINTS][UT_FILTER_MAX_POINTS]);

/* Packs an f32 source as `scheme` has it: layer->panels and layer->minimal; all else of `layer` is there. */
UTTER_CHECKED utter_status ut_minimal_pack(const struct ut_compute *compute, struct ut_arena *arena,
                                           const struct ut_minimal_scheme *scheme,
                                           const struct ut_layer_source *source,
                                           struct ut_layer *layer, utter_error *err);

/* Rows between the places where a call may start, to be multiplied by the dilation; 1 for a plain layer. */
int ut_minimal_grid(const struct ut_layer *layer);

/* Input rows that the first n_tiles tiles read; n_tiles a multiple of `dilation`. */
int ut_minimal_input_rows(const struct ut_minimal *minimal, int dilation, int n_tiles);

/* Tiles first .. first + n_tiles - 1 of a layer (kernels/filter_tiles.h), and memory of one thread for them. */
struct ut_minimal_part {
    const struct ut_compute *compute;
    const struct ut_layer *layer;
    int dilation, first, n_tiles;
    float *v, *m; /* transformed inputs; products of a group of output channels */
    ptrdiff_t v_point, v_row, m_point, m_row;
};

/* What a part of n_tiles tiles needs when n_group output channels are made at a time. */
size_t ut_minimal_floats(const struct ut_layer *layer, int n_tiles, int n_group);
/* Sets up v to m_row by the other fields. */
void ut_minimal_place(struct ut_minimal_part *part, int n_group, float *memory);

/* x: row 0 of the input, of which n_rows exist; those behind are zeros. */
void ut_minimal_transform(const struct ut_minimal_part *part, const float *x, ptrdiff_t x_row,
                          int n_rows);
/* Products and outputs of store->n_out channels from first_channel on, a multiple of the panel. `store`
 * describes row 0 and these channels. */
void ut_minimal_finish(const struct ut_minimal_part *part, int first_channel,
                       const struct ut_conv *store);

/* Tiles that keep reading weights and transforming inputs in balance; a multiple of `dilation`. */
int ut_minimal_tiles(const struct ut_layer *layer, int dilation, int n_rows);

/* ut_conv for any layer, op->x_row being the row pitch (stride 1) and op->x_tap a multiple of it. Takes
 * scratch from `arena`; false when there is no memory. */
UTTER_CHECKED bool ut_minimal_conv(const struct ut_compute *compute, struct ut_arena *arena,
                                   const struct ut_layer *layer, const struct ut_conv *op);

#endif
