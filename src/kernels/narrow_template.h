/* The narrow arithmetic of narrow.h on the vector primitives of one level. The including file has
 * included its vec_*.h and defined
 *
 *   TILE_ROWS, PANEL_VECTORS   the largest tile: rows x vectors of channels, whose sums must fit the
 *                              registers beside PANEL_VECTORS vectors of weights and one of a row
 *   STORED                     how a value of a row lies in memory, see below
 *   v_add_products()           a step of the sums: the word of a row, in every element, by a vector
 *                              of words of weights
 *   PLACE_OF_WEIGHT(o, c)      byte of channel c of the word o in a vector, where it is not o * 4 on
 *
 * Rows and weights are words of 4 bytes that hold GROUP channels, the last one filled with zeros. A
 * panel is [n_taps] of: what the sums of the tap start from, [PANEL] words, which undoes the offset
 * of the stored rows; then the weights, [words of a row][PANEL] words.
 *
 * Each row has its own scale, so the sums of a tap are multiplied and added to floats at its end.
 * Those floats lie in the L1 cache, not in registers, which all hold sums: 12 x 2 vectors and one
 * multiply-add in memory for each of them and tap. From there whole rows go through what follows
 * the sums, since the narrow form of the result needs the largest value of a row. */
#ifndef UT_KERNELS_NARROW_TEMPLATE_H
#define UT_KERNELS_NARROW_TEMPLATE_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernels/levels.h"
#include "kernels/modulate_template.h"

/* STORED_BYTE_U: q + zero; STORED_BYTE_S: q + zero - 128; STORED_HALF: q in 16 bits;
 * STORED_BF16: the upper half of a float. */
#define STORED_BYTE_U 1
#define STORED_BYTE_S 2
#define STORED_HALF 3
#define STORED_BF16 4

enum {
    IS_FLOAT = STORED == STORED_BF16,
    VALUE_BYTES = STORED == STORED_BYTE_U || STORED == STORED_BYTE_S ? 1 : 2,
    GROUP = 4 / VALUE_BYTES,
    PANEL = PANEL_VECTORS * V_WIDTH,
    STEP_BYTES = PANEL * 4,   /* of a panel: one word of the rows */
    VECTOR_BYTES = V_WIDTH * 4,
    BLOCK_FLOATS = 16 * 1024, /* of rows between their sums and their stores */
    MAX_BLOCK_ROWS = 240
};

#ifndef PLACE_OF_WEIGHT
#define PLACE_OF_WEIGHT(o, c) ((o) * 4 + (c) * VALUE_BYTES)
#endif

#if STORED == STORED_BF16
typedef v_float v_sums;

static inline v_sums v_load_sums(const void *p) {
    return v_load(p);
}

/* A row whose scale is 0 counts as zeros even where its bytes are NaNs. */
ALWAYS_INLINE v_float v_from_sums(v_sums sums, v_float scale) {
    return v_select(v_equal(scale, v_set(0)), v_set(0), sums);
}
#else
typedef v_int v_sums;

static inline v_sums v_load_sums(const void *p) {
    return v_load_words(p);
}

ALWAYS_INLINE v_float v_from_sums(v_sums sums, v_float scale) {
    return v_from_int(sums);
}
#endif

/* What is added to q where it is stored, lowest byte. */
static int stored_offset(int zero) {
    return STORED == STORED_BYTE_U ? zero : STORED == STORED_BYTE_S ? zero - 128 : 0;
}

static int words_of(int n_ch) {
    return (n_ch + GROUP - 1) / GROUP;
}

static size_t row_bytes(int n_ch) {
    return (size_t)words_of(n_ch) * 4;
}

static size_t tap_bytes(int n_in) {
    return ((size_t)words_of(n_in) + 1) * STEP_BYTES;
}

static size_t panel_bytes(int n_taps, int n_in) {
    return (size_t)n_taps * tap_bytes(n_in);
}

/* ---- Packing ---- */

static void pack_channel(char *panel, float *w_scale, int o, const float *w, int n_taps, int n_in,
                         int zero) {
    *w_scale = IS_FLOAT ? 1 : ut_narrow_weight_scale(w, (size_t)n_taps * (size_t)n_in);
    for (int k = 0; k < n_taps; k++, panel += tap_bytes(n_in)) {
        int32_t sum = 0;
        for (int c = 0; c < n_in; c++, w++) {
            char *at = panel + (size_t)(1 + c / GROUP) * STEP_BYTES;
            at += o / V_WIDTH * VECTOR_BYTES + PLACE_OF_WEIGHT(o % V_WIDTH, c % GROUP);
            if (IS_FLOAT) {
                uint16_t bits = ut_narrow_bf16(*w);
                memcpy(at, &bits, sizeof bits);
                continue;
            }
            int q = ut_narrow_weight(*w, *w_scale);
            sum += q;
            if (VALUE_BYTES == 2) {
                int16_t half = (int16_t)q;
                memcpy(at, &half, sizeof half);
            } else {
                *at = (char)q;
            }
        }
        int32_t start = -stored_offset(zero) * sum;
        memcpy(panel + (size_t)o * 4, &start, sizeof start);
    }
}

static void pack(void *panel, float *w_scale, const float *w, int n, int n_taps, int n_in,
                 int zero) {
    size_t n_channel = (size_t)n_taps * (size_t)n_in;
    memset(panel, 0, panel_bytes(n_taps, n_in));
    memset(w_scale, 0, PANEL * sizeof *w_scale);
    for (int o = 0; o < n; o++) {
        pack_channel(panel, w_scale + o, o, w + (size_t)o * n_channel, n_taps, n_in, zero);
    }
}

/* ---- Rows of floats into narrow form ---- */

/* Rows between their sums and their stores. */
struct float_rows {
    float values[BLOCK_FLOATS] __attribute__((aligned(64)));
    ptrdiff_t row; /* floats, whole vectors */
    /* Of each row; highest is NaN where a value is not finite. */
    float highest[MAX_BLOCK_ROWS + V_WIDTH], lowest[MAX_BLOCK_ROWS + V_WIDTH];
};

/* Lays out rows of n_ch values; returns how many fit, at most `wanted`. */
static int float_rows_init(struct float_rows *rows, int n_ch, int wanted) {
    rows->row = (n_ch + PANEL - 1) / PANEL * PANEL;
    /* Rows 4 kB apart would share one set of the L1 cache. */
    rows->row += rows->row % 1024 == 0 ? 16 : 0;
    int n = (int)(BLOCK_FLOATS / rows->row);
    n = n > MAX_BLOCK_ROWS ? MAX_BLOCK_ROWS : n;
    n = n > TILE_ROWS ? n / TILE_ROWS * TILE_ROWS : n;
    return n < wanted ? n : wanted;
}

struct range {
    v_float highest, lowest, poison;
};

ALWAYS_INLINE struct range range_new(void) {
    return (struct range){v_set(0), v_set(0), v_set(0)};
}

/* Elements that are not the row's must be zeros. */
ALWAYS_INLINE void range_add(struct range *range, v_float x) {
    range->highest = v_max(x, range->highest);
    range->lowest = v_min(x, range->lowest);
    range->poison = v_fma(x, v_set(0), range->poison); /* NaN where x is not finite */
}

ALWAYS_INLINE void range_finish(struct float_rows *rows, int r, struct range range) {
    rows->highest[r] = v_any_nan(range.poison) ? NAN : v_largest(range.highest);
    rows->lowest[r] = -v_largest(v_sub(v_set(0), range.lowest));
}

/* A subnormal scale, whose reciprocal may be infinite, becomes 0. */
ALWAYS_INLINE v_float scale_of(v_float highest, v_float lowest, int zero) {
    v_float size = v_sub(v_set(0), lowest);
    if (IS_FLOAT) {
        v_float largest = v_max(size, highest);
        return v_select(v_greater(largest, v_set(0)), v_set(1), largest);
    }
    v_float negative = v_div(size, v_set((float)zero));
    v_float scale = v_max(negative, v_div(highest, v_set((float)(255 - zero))));
    return v_select(v_greater(v_set(1.2e-38f), scale), v_set(0), scale);
}

/* n values, already in units of the scale. No clamp: they are within the range but for a rounding
 * that the next one undoes. A NaN stands as zero. */
ALWAYS_INLINE void store_narrow(char *p, v_float x, v_int offset, int n) {
    if (IS_FLOAT) {
        v_store_halves(p, v_bf16_bits(x), n);
    } else if (VALUE_BYTES == 2) {
        v_store_halves(p, v_round_int(x), n);
    } else {
        v_store_bytes(p, v_add_int(v_round_int(x), offset), n);
    }
}

static void store_narrow_row(char *q, const float *x, float inverse, int offset, int n_ch) {
    int n = words_of(n_ch) * GROUP, c = 0; /* behind the last channel x holds zeros */
    v_int add = v_set_int(offset);
    for (; c + V_WIDTH <= n; c += V_WIDTH) {
        store_narrow(q + c * VALUE_BYTES, v_mul(v_load(x + c), v_set(inverse)), add, V_WIDTH);
    }
    if (c < n) {
        store_narrow(q + c * VALUE_BYTES, v_mul(v_load(x + c), v_set(inverse)), add, n - c);
    }
}

/* Rows t0.. of `to` from n rows whose ranges are known. */
static void store_narrow_rows(const struct ut_narrow_rows *to, const struct float_rows *rows, int t0,
                              int n, int n_ch) {
    float scale[V_WIDTH], inverse[V_WIDTH];
    int offset = stored_offset(to->zero);
    for (int r = 0; r < n; r++) {
        int i = r % V_WIDTH;
        if (i == 0) {
            v_float s = scale_of(v_load(rows->highest + r), v_load(rows->lowest + r), to->zero);
            v_store(scale, s);
            v_store(inverse,
                    v_select(v_greater(s, v_set(0)), v_div(v_set(1), s), v_set(0)));
        }
        to->scale[(t0 + r) * to->scale_row] = scale[i];
        store_narrow_row((char *)to->data + (t0 + r) * to->row, rows->values + r * rows->row,
                         inverse[i], offset, n_ch);
    }
}

ALWAYS_INLINE void modulate_row(struct float_rows *rows, int r, const struct ut_modulate *from,
                                const float *x, const bool is_snake) {
    struct range range = range_new();
    float *y = rows->values + r * rows->row;
    int c = 0;
    for (; c + V_WIDTH <= from->n_ch; c += V_WIDTH) {
        v_float v = v_modulate(from, v_load(x + c), c, V_WIDTH, is_snake);
        range_add(&range, v);
        v_store(y + c, v);
    }
    if (c < from->n_ch) { /* f of zeros is zero */
        int n = from->n_ch - c;
        v_float v = v_modulate(from, v_load_n(x + c, n, 0), c, n, is_snake);
        range_add(&range, v);
        v_store(y + c, v);
    }
    range_finish(rows, r, range);
}

static void quantize(const struct ut_modulate *from, const struct ut_narrow_rows *to) {
    struct float_rows rows;
    int n_block = float_rows_init(&rows, from->n_ch, from->n_rows);
    n_block = n_block > V_WIDTH ? V_WIDTH : n_block; /* they stay in the L1 cache */
    for (int t0 = 0; t0 < from->n_rows; t0 += n_block) {
        int n = from->n_rows - t0 < n_block ? from->n_rows - t0 : n_block;
        for (int r = 0; r < n; r++) {
            const float *x = from->x + (t0 + r) * from->x_row;
            if (from->alpha) {
                modulate_row(&rows, r, from, x, true);
            } else {
                modulate_row(&rows, r, from, x, false);
            }
        }
        store_narrow_rows(to, &rows, t0, n, from->n_ch);
    }
}

/* ---- Convolution ---- */

/* sums[r][v] += row r by weights, over the words of one tap. */
ALWAYS_INLINE void add_tap(v_sums sums[TILE_ROWS][PANEL_VECTORS], const char *x, ptrdiff_t row,
                           const char *w, int n_words, const int n_rows) {
    /* A pointer for every third row, hidden from the optimizer: conv_template.h. */
    const char *base[(TILE_ROWS + 2) / 3];
    UNROLL_ALL
    for (int b = 0; b * 3 < n_rows; b++) {
        base[b] = x + b * 3 * row;
        __asm__("" : "+r"(base[b]));
    }
    UNROLL_4
    for (int i = 0; i < n_words; i++, w += STEP_BYTES) {
        v_int weights[PANEL_VECTORS];
        UNROLL_ALL
        for (int v = 0; v < PANEL_VECTORS; v++) {
            weights[v] = v_load_words(w + v * VECTOR_BYTES);
        }
        UNROLL_ALL
        for (int r = 0; r < n_rows; r++) {
            const char *word = base[r / 3] + r % 3 * row + i * 4;
            UNROLL_ALL
            for (int v = 0; v < PANEL_VECTORS; v++) {
                sums[r][v] = v_add_products(sums[r][v], word, weights[v]);
            }
        }
    }
}

/* The end of a tap: s = fma(scale of the row, sum, s), s = 0 before the first one. */
ALWAYS_INLINE void scale_tap(v_sums sums[TILE_ROWS][PANEL_VECTORS], float *out, ptrdiff_t out_row,
                             const float *scale, ptrdiff_t scale_row, const int n_rows,
                             const bool is_first) {
    UNROLL_ALL
    for (int r = 0; r < n_rows; r++) {
        v_float factor = v_set(scale[r * scale_row]);
        UNROLL_ALL
        for (int v = 0; v < PANEL_VECTORS; v++) {
            float *s = out + r * out_row + v * V_WIDTH;
            v_float before = is_first ? v_set(0) : v_load(s);
            v_store(s, v_fma(factor, v_from_sums(sums[r][v], factor), before));
        }
    }
}

/* n_rows rows from t on of the panel at w. */
ALWAYS_INLINE void conv_tile(const struct ut_narrow_conv *op, float *out, ptrdiff_t out_row, int t,
                             const char *w, const int n_rows) {
    size_t tap = tap_bytes(op->n_in);
    for (int k = 0; k < op->n_taps; k++, w += tap) {
        v_sums sums[TILE_ROWS][PANEL_VECTORS];
        UNROLL_ALL
        for (int v = 0; v < PANEL_VECTORS; v++) {
            v_sums start = v_load_sums(w + v * VECTOR_BYTES);
            UNROLL_ALL
            for (int r = 0; r < n_rows; r++) {
                sums[r][v] = start;
            }
        }
        const char *x = (const char *)op->x + t * op->x_row + k * op->x_tap;
        add_tap(sums, x, op->x_row, w + STEP_BYTES, words_of(op->n_in), n_rows);
        const float *scale = op->x_scale + t * op->scale_row + k * op->scale_tap;
        if (k == 0) {
            scale_tap(sums, out, out_row, scale, op->scale_row, n_rows, true);
        } else {
            scale_tap(sums, out, out_row, scale, op->scale_row, n_rows, false);
        }
    }
}

/* Rows t..end of the panel at w: whole tiles, then halving ones. */
static void conv_panel(const struct ut_narrow_conv *op, float *out, ptrdiff_t out_row, int t,
                       int end, const char *w) {
    for (; t + TILE_ROWS <= end; t += TILE_ROWS, out += TILE_ROWS * out_row) {
        conv_tile(op, out, out_row, t, w, TILE_ROWS);
    }
    if (TILE_ROWS > 8 && t + 8 <= end) {
        conv_tile(op, out, out_row, t, w, TILE_ROWS > 8 ? 8 : 1);
        t += 8, out += 8 * out_row;
    }
    if (t + 4 <= end) {
        conv_tile(op, out, out_row, t, w, 4);
        t += 4, out += 4 * out_row;
    }
    if (t + 2 <= end) {
        conv_tile(op, out, out_row, t, w, 2);
        t += 2, out += 2 * out_row;
    }
    if (t < end) {
        conv_tile(op, out, out_row, t, w, 1);
    }
}

/* What follows the sums, for n channels (a whole vector when n >= V_WIDTH) from o on of row t;
 * returns the activation. */
ALWAYS_INLINE v_float store_vector(const struct ut_narrow_conv *op, v_float s, int t, int o, int n) {
    v_float bias = op->bias ? v_load(op->bias + o) : v_set(0);
    v_float v = v_fma(s, v_load(op->w_scale + o), bias);
    if (op->add) {
        v = v_add(v, load_up_to(op->add + t * op->add_row + o, n, 0));
    }
    if (op->add2) {
        v = v_add(v, load_up_to(op->add2 + t * op->add2_row + o, n, 0));
    }
    v = v_mul(v, v_set(op->scale));
    if (op->y) {
        store_up_to(op->y + t * op->y_row + o, v, n);
    }
    v_float activated = v_leaky_relu(v, op->slope);
    if (op->y_act) {
        store_up_to(op->y_act + t * op->y_act_row + o, activated, n);
    }
    return activated;
}

/* Row r of the block, which is row t of the output, channels o..o + n. The activations replace the
 * sums; behind the last channel they are zeros, as sum, weight scale and bias are. */
static void store_row(const struct ut_narrow_conv *op, struct float_rows *rows, int r, int t, int o,
                      int n) {
    struct range range = range_new();
    float *s = rows->values + r * rows->row;
    int c = 0;
    for (; c + V_WIDTH <= n; c += V_WIDTH) {
        v_float a = store_vector(op, v_load(s + c), t, o + c, V_WIDTH);
        range_add(&range, a);
        v_store(s + c, a);
    }
    if (c < n) {
        v_float a = store_vector(op, v_load(s + c), t, o + c, n - c);
        range_add(&range, a);
        v_store(s + c, a);
    }
    if (op->q.data) {
        range_finish(rows, r, range);
    }
}

/* A block of rows goes through the panels one by one, so that weights come from the L2 cache or
 * beyond once for the block; all panels together only where the narrow form of whole rows is
 * wanted. */
static void conv(const struct ut_narrow_conv *op) {
    struct float_rows rows;
    int width = op->q.data ? op->n_out : PANEL;
    int n_block = float_rows_init(&rows, width, op->n_rows);
    size_t n_panel = panel_bytes(op->n_taps, op->n_in);
    for (int t = 0; t < op->n_rows; t += n_block) {
        int n = op->n_rows - t < n_block ? op->n_rows - t : n_block;
        for (int o = 0; o < op->n_out; o += width) {
            int n_ch = op->n_out - o < width ? op->n_out - o : width;
            for (int c = 0; c < n_ch; c += PANEL) {
                const char *w = (const char *)op->w + (size_t)((o + c) / PANEL) * n_panel;
                conv_panel(op, rows.values + c, rows.row, t, t + n, w);
            }
            for (int r = 0; r < n; r++) {
                store_row(op, &rows, r, t + r, o, n_ch);
            }
        }
        if (op->q.data) {
            store_narrow_rows(&op->q, &rows, t, n, op->n_out);
        }
    }
}

#define NARROW_TABLE(what)                                                                         \
    {                                                                                              \
        .name = what, .panel = PANEL, .row_bytes = row_bytes, .panel_bytes = panel_bytes,          \
        .pack = pack, .quantize = quantize, .conv = conv                                           \
    }

#endif
