/* Buffers, random numbers and comparisons for checkkernels. */
#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "checkkernels.h"

static const uint32_t pattern = 0x7fc0dead;

void check_case(struct check *c, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(c->where, sizeof c->where, format, args);
    va_end(args);
}

void check_fail(struct check *c, const char *format, ...) {
    enum { MAX_PRINTED = 10 };
    if (c->n_failed++ >= MAX_PRINTED) {
        return;
    }
    va_list args;
    va_start(args, format);
    printf("%s %s: %s: ", ut_cpu_level_name(c->table->level), c->entry, c->where);
    vprintf(format, args);
    printf("\n");
    va_end(args);
}

void check_close(struct check *c, float got, double want, double bound, long i, long j) {
    c->n_compared++;
    double value = got;
    if (isfinite(want)) {
        value = isinf(value) ? copysign(0x1p128, value) : value;
        want = fabs(want) > 0x1p128 ? copysign(0x1p128, want) : want;
    }
    if (isnan(want) || isinf(want)) {
        if (isnan(want) ? !isnan(value) : value != want) {
            check_fail(c, "at %ld, %ld: %g, expected %g", i, j, value, want);
        }
        return;
    }
    double error = fabs(value - want);
    if (!(error <= bound)) {
        check_fail(c, "at %ld, %ld: %.9g, expected %.9g, off by %.3g, at most %.3g", i, j, value,
                   want, error, bound);
    } else if (bound > 0) {
        c->worst = fmax(c->worst, error / bound);
    }
}

void check_same(struct check *c, float got, float want, long i, long j, const char *what) {
    c->n_compared++;
    if (memcmp(&got, &want, sizeof got) != 0 && !(isnan(got) && isnan(want))) {
        check_fail(c, "at %ld, %ld: %s: %.9g, expected the bits of %.9g", i, j, what, got, want);
    }
}

double ulp_of(double x) {
    int exponent;
    frexp(x, &exponent);
    return x == 0 || exponent < -125 ? SMALLEST : ldexp(1, exponent - 24);
}

/* SplitMix64. */
uint64_t random_bits(struct check *c) {
    uint64_t z = c->state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

int random_int(struct check *c, int low, int high) {
    return low + (int)(random_bits(c) % (uint64_t)(high - low + 1));
}

float random_value(struct check *c) {
    return (float)((double)(random_bits(c) >> 11) * 0x1p-52 - 1);
}

float random_special(struct check *c) {
    static const float specials[] = {0,       -0.0f,    FLT_TRUE_MIN, -1e-40f,
                                     FLT_MIN, INFINITY, -INFINITY,    NAN};
    return random_int(c, 0, 15) == 0 ? specials[random_int(c, 0, COUNT(specials) - 1)]
                                     : random_value(c);
}

float random_any(struct check *c) {
    uint32_t bits = (uint32_t)random_bits(c);
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

void fill_random(struct check *c, float *p, size_t n) {
    for (size_t i = 0; i < n; i++) {
        p[i] = random_value(c);
    }
}

struct block block_make(size_t n_bytes, size_t alignment) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t used = (n_bytes + alignment - 1) / alignment * alignment;
    size_t inner =
        (used / page + 1) * page; /* always some room before the data, to see writes there */
    struct block b = {.n_bytes = n_bytes, .map_bytes = inner + 2 * page};
    b.map = mmap(NULL, b.map_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (b.map == MAP_FAILED || mprotect(b.map + page, inner, PROT_READ | PROT_WRITE) != 0) {
        perror("mmap");
        exit(2);
    }
    b.data = b.map + page + inner - used;
    block_fill_pattern(&b);
    return b;
}

struct block block_floats(size_t n) {
    return block_make(n * sizeof(float), sizeof(float));
}

void block_free(struct block *b) {
    munmap(b->map, b->map_bytes);
    b->map = NULL;
}

static size_t block_words(const struct block *b, uint32_t **first) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    *first = (uint32_t *)(b->map + page);
    return (b->map_bytes - 2 * page) / sizeof(uint32_t);
}

void block_fill_pattern(struct block *b) {
    uint32_t *words;
    size_t n = block_words(b, &words);
    for (size_t i = 0; i < n; i++) {
        words[i] = pattern;
    }
}

void check_outside(struct check *c, const struct block *b, ptrdiff_t row, int n_rows, int width) {
    uint32_t *words;
    size_t n = block_words(b, &words);
    ptrdiff_t first = (uint32_t *)b->data - words;
    for (size_t i = 0; i < n; i++) {
        ptrdiff_t at = (ptrdiff_t)i - first;
        bool inside =
            at >= 0 && width > 0 && (row ? at / row < n_rows && at % row < width : at < width);
        if (!inside && words[i] != pattern) {
            check_fail(c, "wrote at %td, outside %d rows of %d every %td", at, n_rows, width, row);
            return;
        }
    }
}

size_t span(int n_rows, ptrdiff_t row, int width) {
    return n_rows > 0 && width > 0 ? (size_t)((n_rows - 1) * row + width) : 0;
}

int next_split(struct check *c, int i, int n) {
    int end = i + random_int(c, 1, 17);
    return end < n ? end : n;
}
