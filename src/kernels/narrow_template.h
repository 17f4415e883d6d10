/* The narrow arithmetic of narrow.h on the vector primitives of one level. The including file has
 * included its vec_*.h and defined
 *
 *   TILE_ROWS, PANEL_VECTORS   the largest tile: rows x vectors of channels, whose sums, and totals where
 *                              there are 32 registers, must fit beside its weights and one word of a row
 *   STORED                     how a value of a row lies in memory, see below
 *   ADD_PRODUCTS               v_add_*_products() of the level: a step of the sums
 *   PLACE_OF_WEIGHT(o, c)      byte of channel c of the word o in a vector, where it is not o * 4 on
 *
 * Rows and weights are words of 4 bytes that hold GROUP channels, the last one filled with zeros. A
 * panel is [n_taps] of: what the sums of the tap start from, [PANEL] words, which undoes the offset
 * of the stored rows; then the weights, [words of a row][PANEL] words.
 *
 * Each row has its own scale, so the sums of a tap are multiplied and added to totals in floats at its
 * end. Registers hold both: twice as many sums, with their totals in the L1 cache, were a tenth slower
 * at 32 channels, where stores took a quarter of the time. Whole rows then go through what follows the
 * sums, since the narrow form of the result needs the largest value of a row. */
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

static inline v_sums v_sums_of_zero(void) {
    return v_set(0);
}

static inline v_sums v_load_sums(const void *p) {
    return v_load(p);
}

/* A row whose scale is 0 counts as zeros even where its bytes are NaNs. */
ALWAYS_INLINE v_float v_from_sums(v_sums sums, v_float scale) {
    return v_select(v_equal(scale, v_set(0)), v_set(0), sums);
}
#else
typedef v_int v_sums;

static inline v_sums v_sums_of_zero(void) {
    return v_set_int(0);
}

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
    float own = ut_narrow_weight_scale(w, (size_t)n_taps * (size_t)n_in);
    *w_scale = IS_FLOAT ? 1 : *w_scale > 0 ? *w_scale : own;
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
    memset(w_scale + n, 0, (size_t)(PANEL - n) * sizeof *w_scale);
    for (int o = 0; o < n; o++) {
        pack_channel(panel, w_scale + o, o, w + (size_t)o * n_channel, n_taps, n_in, zero);
    }
}

/* ---- Rows of floats into narrow form ---- */

/* Rows between their sums and their stores. */
struct float_rows {
    float values[BLOCK_FLOATS] __attribute__((aligned(64)));
    ptrdiff_t row; /* floats, whole vectors */
    /* Of each row, the largest value and the largest of the opposite ones; at least 0. */
    float highest[MAX_BLOCK_ROWS + V_WIDTH], deepest[MAX_BLOCK_ROWS + V_WIDTH];
};

/* Lays out rows of n_ch values; returns how many fit, at most `wanted`. */
static int float_rows_init(struct float_rows *rows, int n_ch, int wanted, int n_floats) {
    rows->row = (n_ch + PANEL - 1) / PANEL * PANEL;
    /* Rows 4 kB apart would share one set of the L1 cache. */
    rows->row += rows->row % 1024 == 0 ? 16 : 0;
    int n = (int)(n_floats / rows->row);
    n = n > MAX_BLOCK_ROWS ? MAX_BLOCK_ROWS : n < 1 ? 1 : n;
    n = n > TILE_ROWS ? n / TILE_ROWS * TILE_ROWS : n;
    return n < wanted ? n : wanted;
}

/* Up to ROWS rows go through what follows side by side: they share its loads, and their largest
 * values are found together. */
enum { ROWS = 4 };

struct range {
    v_int highest[ROWS], deepest[ROWS];
};

ALWAYS_INLINE struct range range_new(void) {
    struct range range;
    UNROLL_ALL
    for (int r = 0; r < ROWS; r++) {
        range.highest[r] = range.deepest[r] = v_set_int(0);
    }
    return range;
}

/* Elements that are not the row's must be zeros. As integers NaNs are largest, so none is missed. */
ALWAYS_INLINE void range_add(struct range *range, int r, v_float x) {
    range->highest[r] = v_max_int(range->highest[r], v_bits(x));
    range->deepest[r] = v_max_int(range->deepest[r], v_opposite_bits(x));
}

/* Of the rows from r on; what is said of rows that were not added is said again later. */
ALWAYS_INLINE void range_store(struct float_rows *rows, int r, const struct range *range) {
    v_store_largest(rows->highest + r, range->highest);
    v_store_largest(rows->deepest + r, range->deepest);
}

/* A subnormal scale, whose reciprocal may be infinite, becomes 0. */
ALWAYS_INLINE v_float scale_of(v_float highest, v_float deepest, int zero) {
    v_float poison = v_fma(highest, v_set(0), v_mul(deepest, v_set(0))); /* NaN: not finite */
    v_float scale = v_max(highest, deepest), least = v_set(0x1p-149f), one = v_set(1);
    if (!IS_FLOAT) {
        one = scale = v_max(v_div(deepest, v_set((float)zero)),
                            v_div(highest, v_set((float)(255 - zero))));
        least = v_set(1.2e-38f);
    }
    return v_add(v_select(v_greater(least, scale), v_set(0), one), poison);
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
            v_float s = scale_of(v_load(rows->highest + r), v_load(rows->deepest + r), to->zero);
            v_store(scale, s);
            v_store(inverse,
                    v_select(v_greater(s, v_set(0)), v_div(v_set(1), s), v_set(0)));
        }
        to->scale[(t0 + r) * to->scale_row] = scale[i];
        store_narrow_row((char *)to->data + (t0 + r) * to->row, rows->values + r * rows->row,
                         inverse[i], offset, n_ch);
    }
}

/* n channels from c on (a whole vector when n >= V_WIDTH) of n_rows rows at x. */
ALWAYS_INLINE void modulate_vectors(struct float_rows *rows, int r, struct range *range,
                                    const struct ut_modulate *from, const float *x, int c, int n,
                                    const int n_rows, const bool is_snake) {
    UNROLL_ALL
    for (int i = 0; i < n_rows; i++) {
        v_float v = load_up_to(x + i * from->x_row + c, n, 0);
        v = v_modulate(from, v, c, n, is_snake); /* of zeros, zeros */
        range_add(range, i, v);
        v_store(rows->values + (r + i) * rows->row + c, v);
    }
}

ALWAYS_INLINE void modulate_rows(struct float_rows *rows, int r, const struct ut_modulate *from,
                                 const float *x, const int n_rows, const bool is_snake) {
    struct range range = range_new();
    int c = 0;
    for (; c + V_WIDTH <= from->n_ch; c += V_WIDTH) {
        modulate_vectors(rows, r, &range, from, x, c, V_WIDTH, n_rows, is_snake);
    }
    if (c < from->n_ch) {
        modulate_vectors(rows, r, &range, from, x, c, from->n_ch - c, n_rows, is_snake);
    }
    range_store(rows, r, &range);
}

ALWAYS_INLINE void quantize_as(const struct ut_modulate *from, const struct ut_narrow_rows *to,
                               const bool is_snake) {
    struct float_rows rows;
    int n_block = float_rows_init(&rows, from->n_ch, V_WIDTH, BLOCK_FLOATS);
    for (int t = 0; t < from->n_rows; t += n_block) {
        int n = from->n_rows - t < n_block ? from->n_rows - t : n_block, r = 0;
        const float *x = from->x + t * from->x_row;
        for (; r + ROWS <= n; r += ROWS) {
            modulate_rows(&rows, r, from, x + r * from->x_row, ROWS, is_snake);
        }
        for (; r < n; r++) {
            modulate_rows(&rows, r, from, x + r * from->x_row, 1, is_snake);
        }
        store_narrow_rows(to, &rows, t, n, from->n_ch);
    }
}

static void quantize(const struct ut_modulate *from, const struct ut_narrow_rows *to) {
    if (from->alpha) {
        quantize_as(from, to, true);
    } else {
        quantize_as(from, to, false);
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
    for (int i = 0; i < n_words; i++, w += STEP_BYTES) {
        v_int weights[PANEL_VECTORS];
        UNROLL_ALL
        for (int v = 0; v < PANEL_VECTORS; v++) {
            weights[v] = v_load_words(w + v * VECTOR_BYTES);
        }
        UNROLL_ALL
        for (int r = 0; r < n_rows; r++) {
            v_int word = v_set_word(base[r / 3] + r % 3 * row + i * 4);
            UNROLL_ALL
            for (int v = 0; v < PANEL_VECTORS; v++) {
                sums[r][v] = ADD_PRODUCTS(sums[r][v], word, weights[v]);
            }
        }
    }
}

/* Keeps the compiler from using memory for sums inside the loop before, where it expects to lack
 * registers after it (gcc 12: half the speed). */
ALWAYS_INLINE void hold_in_registers(v_sums sums[TILE_ROWS][PANEL_VECTORS], const int n_rows) {
    UNROLL_ALL
    for (int r = 0; r < n_rows; r++) {
        UNROLL_ALL
        for (int v = 0; v < PANEL_VECTORS; v++) {
            __asm__("" : "+" V_REGISTER(sums[r][v]));
        }
    }
}

/* n_rows rows from t on of the panel at w. */
ALWAYS_INLINE void conv_tile(const struct ut_narrow_conv *op, float *out, ptrdiff_t out_row, int t,
                             const char *w, const int n_rows) {
    size_t tap = tap_bytes(op->n_in);
    v_float total[TILE_ROWS][PANEL_VECTORS];
    UNROLL_ALL
    for (int r = 0; r < n_rows; r++) {
        UNROLL_ALL
        for (int v = 0; v < PANEL_VECTORS; v++) {
            total[r][v] = v_set(0);
        }
    }
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
        hold_in_registers(sums, n_rows);
        const float *scale = op->x_scale + t * op->scale_row + k * op->scale_tap;
        UNROLL_ALL
        for (int r = 0; r < n_rows; r++, scale += op->scale_row) {
            __asm__("" : "+r"(scale)); /* one pointer, not one offset for each row */
            v_float factor = v_set(*scale);
            UNROLL_ALL
            for (int v = 0; v < PANEL_VECTORS; v++) {
                total[r][v] = v_fma(factor, v_from_sums(sums[r][v], factor), total[r][v]);
            }
        }
    }
    UNROLL_ALL
    for (int r = 0; r < n_rows; r++) {
        UNROLL_ALL
        for (int v = 0; v < PANEL_VECTORS; v++) {
            v_store(out + v * V_WIDTH, total[r][v]);
        }
        out += out_row;
        __asm__("" : "+r"(out));
    }
}

/* Rows t..end of the panel at w: whole tiles, then halving ones. Not inlined: the vectors that the
 * stores hold would leave too few registers (two thirds of the speed). */
static __attribute__((noinline)) void conv_panel(const struct ut_narrow_conv *op, float *out,
                                                 ptrdiff_t out_row, int t, int end,
                                                 const char *w) {
    for (; t + TILE_ROWS <= end; t += TILE_ROWS, out += TILE_ROWS * out_row) {
        conv_tile(op, out, out_row, t, w, TILE_ROWS);
    }
    if (TILE_ROWS > 4 && t + 4 <= end) {
        conv_tile(op, out, out_row, t, w, TILE_ROWS > 4 ? 4 : 1);
        t += 4, out += 4 * out_row;
    }
    if (TILE_ROWS > 2 && t + 2 <= end) {
        conv_tile(op, out, out_row, t, w, TILE_ROWS > 2 ? 2 : 1);
        t += 2, out += 2 * out_row;
    }
    if (t < end) {
        conv_tile(op, out, out_row, t, w, 1);
    }
}

/* What follows the sums, for n channels (a whole vector when n >= V_WIDTH) from o on of n_rows rows
 * from t on, whose sums are at s. The activations replace the sums; behind the last channel they are
 * zeros, as sum, weight scale and bias are. */
ALWAYS_INLINE void store_vectors(const struct ut_narrow_conv *op, float *s, ptrdiff_t s_row,
                                 struct range *range, int t, int o, int n, const int n_rows,
                                 const bool is_narrow) {
    v_float bias = op->bias ? v_load(op->bias + o) : v_set(0), w_scale = v_load(op->w_scale + o);
    v_float v[ROWS];
    UNROLL_ALL
    for (int r = 0; r < n_rows; r++) {
        v[r] = v_fma(v_load(s + r * s_row), w_scale, bias);
    }
    for (int r = 0; r < n_rows && op->add; r++) {
        v[r] = v_add(v[r], load_up_to(op->add + (t + r) * op->add_row + o, n, 0));
    }
    for (int r = 0; r < n_rows && op->add2; r++) {
        v[r] = v_add(v[r], load_up_to(op->add2 + (t + r) * op->add2_row + o, n, 0));
    }
    UNROLL_ALL
    for (int r = 0; r < n_rows; r++) {
        v[r] = v_mul(v[r], v_set(op->scale));
    }
    UNROLL_ALL
    for (int r = 0; r < n_rows; r++) {
        if (op->y) {
            store_up_to(op->y + (t + r) * op->y_row + o, v[r], n);
        }
        v_float activated = v_leaky_relu(v[r], op->slope);
        if (op->y_act) {
            store_up_to(op->y_act + (t + r) * op->y_act_row + o, activated, n);
        }
        if (is_narrow) {
            range_add(range, r, activated);
            v_store(s + r * s_row, activated);
        }
    }
}

/* Rows r.. of the block, which are rows t.. of the output, channels o..o + n. */
ALWAYS_INLINE void store_rows(const struct ut_narrow_conv *op, struct float_rows *rows, int r, int t,
                              int o, int n, const int n_rows, const bool is_narrow) {
    struct range range = range_new();
    float *s = rows->values + r * rows->row;
    int c = 0;
    for (; c + V_WIDTH <= n; c += V_WIDTH) {
        store_vectors(op, s + c, rows->row, &range, t, o + c, V_WIDTH, n_rows, is_narrow);
    }
    if (c < n) {
        store_vectors(op, s + c, rows->row, &range, t, o + c, n - c, n_rows, is_narrow);
    }
    if (is_narrow) {
        range_store(rows, r, &range);
    }
}

ALWAYS_INLINE void store_block(const struct ut_narrow_conv *op, struct float_rows *rows, int n_rows,
                               int t, int o, int n, const bool is_narrow) {
    int r = 0;
    for (; r + ROWS <= n_rows; r += ROWS) {
        store_rows(op, rows, r, t + r, o, n, ROWS, is_narrow);
    }
    for (; r < n_rows; r++) {
        store_rows(op, rows, r, t + r, o, n, 1, is_narrow);
    }
}

/* A block of rows goes through the panels one by one, so that weights come from the L2 cache or
 * beyond once for the block; all panels together only where the narrow form of whole rows is
 * wanted. */
static void conv(const struct ut_narrow_conv *op) {
    struct float_rows rows;
    int width = op->q.data ? op->n_out : PANEL;
    int n_block = float_rows_init(&rows, width, op->n_rows, BLOCK_FLOATS);
    size_t n_panel = panel_bytes(op->n_taps, op->n_in);
    for (int t = 0; t < op->n_rows; t += n_block) {
        int n = op->n_rows - t < n_block ? op->n_rows - t : n_block;
        for (int o = 0; o < op->n_out; o += width) {
            int n_ch = op->n_out - o < width ? op->n_out - o : width;
            for (int c = 0; c < n_ch; c += PANEL) {
                const char *w = (const char *)op->w + (size_t)((o + c) / PANEL) * n_panel;
                conv_panel(op, rows.values + c, rows.row, t, t + n, w);
            }
            if (op->q.data) {
                store_block(op, &rows, n, t, o, n_ch, true);
                store_narrow_rows(&op->q, &rows, t, n, op->n_out);
            } else {
                store_block(op, &rows, n, t, o, n_ch, false);
            }
        }
    }
}

/* Products per second at most: the steps of the sums in registers, no memory. */
static double peak(long n) {
    enum { N_CHAINS = 12 }; /* more than latency (4) x units (2) */
    v_sums chain[N_CHAINS];
    v_int word = v_set_int(0x00010001), weights = word;
    UNROLL_ALL
    for (int i = 0; i < N_CHAINS; i++) {
        chain[i] = v_sums_of_zero();
        __asm__("" : "+" V_REGISTER(chain[i])); /* another one, as far as the compiler knows */
    }
    for (long round = 0; round < n; round++) {
        UNROLL_ALL
        for (int i = 0; i < N_CHAINS; i++) {
            chain[i] = ADD_PRODUCTS(chain[i], word, weights);
            __asm__("" : "+" V_REGISTER(word));
        }
    }
    UNROLL_ALL
    for (int i = 0; i < N_CHAINS; i++) { /* so that the loop is not optimised away */
        __asm__ volatile("" ::V_REGISTER(chain[i]));
    }
    return (double)n * N_CHAINS * V_WIDTH * GROUP;
}

#define NARROW_TABLE(what)                                                                         \
    {                                                                                              \
        .name = what, .panel = PANEL, .row_bytes = row_bytes, .panel_bytes = panel_bytes,          \
        .pack = pack, .quantize = quantize, .conv = conv, .peak = peak                             \
    }

#endif
