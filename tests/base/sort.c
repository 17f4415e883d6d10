/* Sorting indexes: every small permutation's order, sorted and adversarial inputs, and the work. */
#include "base/sort.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static size_t n_comparisons;

/* context: an array of values that the indexes stand for. */
static int compare(uint32_t a, uint32_t b, const void *context) {
    const uint32_t *values = context;
    n_comparisons++;
    return (values[a] > values[b]) - (values[a] < values[b]);
}

static void check(const uint32_t *values, uint32_t n) {
    uint32_t *items = malloc((n + 1) * sizeof *items);
    uint8_t *seen = calloc(n + 1, 1);
    assert_true(items && seen);
    for (uint32_t i = 0; i < n; i++) {
        items[i] = i;
    }
    items[n] = 12345;
    ut_sort_u32(items, n, compare, values);
    for (uint32_t i = 0; i < n; i++) {
        assert_true(items[i] < n && !seen[items[i]]);
        seen[items[i]] = 1;
        assert_true(i == 0 || values[items[i - 1]] <= values[items[i]]);
    }
    assert_int_equal(items[n], 12345);
    free(items);
    free(seen);
}

/* All 7^n value sequences of n = 0 to 6 elements out of 7: every order, with and without equals. */
static void test_small(void **state) {
    for (uint32_t n = 0; n <= 6; n++) {
        uint32_t count = 1;
        for (uint32_t i = 0; i < n; i++) {
            count *= 7;
        }
        for (uint32_t code = 0; code < count; code++) {
            uint32_t values[6], rest = code;
            for (uint32_t i = 0; i < n; i++, rest /= 7) {
                values[i] = rest % 7;
            }
            check(values, n);
        }
    }
}

static void test_work(void **state) {
    enum { N = 100000, BOUND = 2 * N * 17 }; /* 2 n log2 n */
    uint32_t *values = malloc(N * sizeof *values);
    assert_non_null(values);
    for (int kind = 0; kind < 4; kind++) {
        for (uint32_t i = 0; i < N; i++) {
            values[i] = kind == 0 ? i : kind == 1 ? N - i : kind == 2 ? 7 : i * 2654435761u;
        }
        n_comparisons = 0;
        check(values, N);
        assert_true(n_comparisons <= BOUND);
    }
    free(values);
}

int main(void) {
    static const struct CMUnitTest tests[] = {cmocka_unit_test(test_small), cmocka_unit_test(test_work)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
