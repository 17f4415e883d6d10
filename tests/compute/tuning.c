/* The file of a tuning, sound and damaged, and a measurement. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/checked.h"
#include "compute/tuning.h"
#include "support/failing_allocator.h"
#include "support/tensor_file.h"

static struct ut_mem mem;

static int setup(void **state) {
    ut_mem_init(&mem, NULL);
    return 0;
}

/* Parses a copy of exactly its size. */
static utter_status parse(struct ut_mem *with, const char *text, struct ut_minimal_table *table,
                          utter_error *err) {
    size_t n = strlen(text);
    char *copy = test_alloc(n + 1);
    char *exact = copy + 1; /* without the NUL */
    memcpy(exact, text, n);
    utter_status status = ut_tuning_parse(with, exact, n, "avx2", table, err);
    free(copy);
    return status;
}

#define HEAD "{\"version\": 1, \"cpu\": \"avx2\", \"layers\": "

static void a_sound_file(void **state) {
    struct ut_minimal_table table;
    utter_error err;
    assert_int_equal(parse(&mem,
                           HEAD "[{\"in\": 128, \"out\": 64, \"taps\": 7, \"scheme\": \"F(4,7)\"},"
                                "{\"in\": 1, \"out\": 2, \"taps\": 3, \"scheme\": \"direct\"}]}",
                           &table, &err),
                     UTTER_OK);
    struct ut_compute compute = {.minimal = &table};
    assert_int_equal(table.n_rules, 2);
    assert_ptr_equal(ut_minimal_choose(&compute, 128, 64, 7), ut_minimal_find(7, "F(4,7)"));
    assert_int_equal(table.rules[1].n_taps, 3);
    assert_null(table.rules[1].scheme);
    assert_int_equal(parse(&mem, HEAD "[]}", &table, &err), UTTER_OK);
    assert_int_equal(table.n_rules, 0);
}

static void damaged_files(void **state) {
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"", "JSON"},
        {"[]", "not a file of utter tune"},
        {"{\"version\": 2, \"cpu\": \"avx2\", \"layers\": []}", "\"version\" 1"},
        {"{\"version\": 1, \"cpu\": 5, \"layers\": []}", "not a file of utter tune"},
        {"{\"version\": 1, \"cpu\": \"avx2\", \"layers\": {}}", "not a file of utter tune"},
        {HEAD "[7]}", "entry 0 of \"layers\" needs"},
        {HEAD "[{\"in\": 0, \"out\": 1, \"taps\": 3, \"scheme\": \"direct\"}]}", "entry 0"},
        {HEAD "[{\"in\": 1, \"out\": 65537, \"taps\": 3, \"scheme\": \"direct\"}]}", "1 to 65536"},
        {HEAD "[{\"in\": 1, \"out\": 1, \"taps\": 3.5, \"scheme\": \"direct\"}]}", "entry 0"},
        {HEAD "[{\"in\": 1, \"out\": 1, \"taps\": 3, \"scheme\": \"F(4,7)\"}]}",
         "the scheme \"F(4,7)\", which is none for 3 taps"},
        {HEAD "[{\"in\": 1, \"out\": 1, \"taps\": 3}]}", "a \"scheme\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ut_minimal_table table = {.n_rules = 9};
        utter_error err = {0};
        assert_int_equal(parse(&mem, cases[i].text, &table, &err), UTTER_ERROR_FORMAT);
        if (i > 0 && !strstr(err.message, cases[i].message)) {
            fail_msg("\"%s\" does not say \"%s\"", err.message, cases[i].message);
        }
        assert_int_equal(table.n_rules, 0);
    }
}

static void another_level(void **state) {
    struct ut_minimal_table table;
    utter_error err;
    assert_int_equal(
        parse(&mem, "{\"version\": 1, \"cpu\": \"avx512\", \"layers\": []}", &table, &err),
        UTTER_ERROR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "level avx512, this engine uses avx2"));
}

static void more_entries_than_there_may_be(void **state) {
    static const char entry[] = "{\"in\": 1, \"out\": 1, \"taps\": 3, \"scheme\": \"direct\"}";
    for (int n = UT_MINIMAL_MAX_RULES; n <= UT_MINIMAL_MAX_RULES + 1; n++) {
        struct ut_minimal_table table;
        utter_error err;
        char *text = test_alloc(sizeof HEAD + (size_t)n * (sizeof entry + 1) + 8);
        strcpy(text, HEAD "[");
        for (int i = 0; i < n; i++) {
            strcat(strcat(text, i ? "," : ""), entry);
        }
        strcat(text, "]}");
        bool fits = n == UT_MINIMAL_MAX_RULES;
        assert_int_equal(parse(&mem, text, &table, &err), fits ? UTTER_OK : UTTER_ERROR_FORMAT);
        assert_int_equal(table.n_rules, fits ? n : 0);
        free(text);
    }
}

static void count_layer(void *user, const struct ut_tuning_result *result) {
    int *n = user;
    assert_true(result->direct_s > 0 && result->best_s > 0);
    assert_true(result->rule.scheme || result->best_s == result->direct_s);
    ++*n;
}

static void a_measurement_comes_back_from_its_file(void **state) {
    struct ut_minimal_table table = {.n_rules = 0}, again;
    struct ut_compute compute = {.kernels = ut_kernels_get(ut_cpu_level_best()), .exact = true};
    const char *cpu = ut_cpu_level_name(ut_cpu_level_best());
    utter_error err;
    char *text;
    int n_told = 0;
    assert_int_equal(ut_pool_create(&mem, 2, &compute.pool, &err), UTTER_OK);
    assert_int_equal(ut_tuning_measure(&compute, &mem, ut_tuning_shapes, ut_tuning_n_shapes, &table,
                                       count_layer, &n_told, &err),
                     UTTER_OK);
    assert_true(n_told > 10 && n_told == table.n_rules);
    assert_int_equal(ut_tuning_format(&mem, cpu, &table, &text, &err), UTTER_OK);
    assert_int_equal(ut_tuning_parse(&mem, text, strlen(text), cpu, &again, &err), UTTER_OK);
    assert_int_equal(again.n_rules, table.n_rules);
    for (int i = 0; i < table.n_rules; i++) {
        assert_memory_equal(&again.rules[i], &table.rules[i], sizeof table.rules[i]);
    }
    ut_mem_free(&mem, text);
    ut_pool_destroy(compute.pool);
}

/* Rules of other sizes stay where they are; a full table gives up its oldest. */
static void measurements_are_added(void **state) {
    static const struct ut_minimal_rule small = {16, 16, 3, NULL}, other = {17, 16, 3, NULL};
    struct ut_minimal_table table = {.n_rules = UT_MINIMAL_MAX_RULES - 1};
    struct ut_compute compute = {.kernels = ut_kernels_get(ut_cpu_level_best())};
    utter_error err;
    for (int i = 0; i < UT_MINIMAL_MAX_RULES; i++) {
        table.rules[i] = (struct ut_minimal_rule){100 + i, 5, 7, NULL};
    }
    table.rules[9] = (struct ut_minimal_rule){16, 16, 3, &ut_minimal_schemes[0]};
    assert_int_equal(ut_pool_create(&mem, 1, &compute.pool, &err), UTTER_OK);
    assert_int_equal(ut_tuning_measure(&compute, &mem, &small, 1, &table, NULL, NULL, &err),
                     UTTER_OK);
    assert_int_equal(table.n_rules, UT_MINIMAL_MAX_RULES - 1);
    assert_true(table.rules[9].n_in == 16 && table.rules[10].n_in == 110);
    assert_int_equal(ut_tuning_measure(&compute, &mem, &other, 1, &table, NULL, NULL, &err),
                     UTTER_OK);
    assert_int_equal(table.n_rules, UT_MINIMAL_MAX_RULES);
    assert_true(table.rules[0].n_in == 100 && table.rules[UT_MINIMAL_MAX_RULES - 1].n_in == 17);
    table.rules[UT_MINIMAL_MAX_RULES - 1].n_in = 18;
    assert_int_equal(ut_tuning_measure(&compute, &mem, &other, 1, &table, NULL, NULL, &err),
                     UTTER_OK);
    assert_int_equal(table.n_rules, UT_MINIMAL_MAX_RULES);
    assert_true(table.rules[0].n_in == 101 && table.rules[UT_MINIMAL_MAX_RULES - 1].n_in == 17);
    assert_int_equal(table.rules[UT_MINIMAL_MAX_RULES - 2].n_in, 18);
    ut_pool_destroy(compute.pool);
}

static int shapes_of(struct tensor_file *file, struct ut_minimal_rule *shapes) {
    struct byte_buffer bytes = {0};
    struct ut_weights *weights;
    utter_error err;
    tensor_file_write_safetensors(file, &bytes);
    assert_int_equal(ut_weights_parse(&mem, bytes.data, bytes.n, &weights, &err), UTTER_OK);
    int n = ut_tuning_find_shapes(weights, shapes);
    ut_weights_close(weights);
    byte_buffer_free(&bytes);
    tensor_file_free(file);
    return n;
}

static void shapes_of_a_model(void **state) {
    static const uint64_t dims[][UT_MAX_DIMS] = {
        {32, 16, 3},     {16, 32, 3}, {32, 16, 3},     {32, 16, 5},     /* the third is known */
        {32, 16, 4},     {32, 16, 1}, {15, 32, 3},     {32, 15, 3},     /* none of these: taps, */
        {1024, 1024, 3}, {32, 16},    {32, 16, 3, 16}, {65537, 16, 3}}; /* sizes, dimensions */
    struct ut_minimal_rule shapes[UT_MINIMAL_MAX_RULES];
    struct tensor_file file = {0};
    char name[16];
    for (size_t i = 0; i < UT_COUNT(dims); i++) {
        snprintf(name, sizeof name, "t%zu", i);
        tensor_file_add(&file, name, dims[i], NULL);
    }
    assert_int_equal(shapes_of(&file, shapes), 3);
    assert_true(shapes[0].n_in == 16 && shapes[0].n_out == 32 && shapes[0].n_taps == 3);
    assert_true(shapes[1].n_in == 32 && shapes[1].n_out == 16 && shapes[1].n_taps == 3);
    assert_true(shapes[2].n_in == 16 && shapes[2].n_out == 32 && shapes[2].n_taps == 5);
    for (uint64_t i = 0; i < UT_MINIMAL_MAX_RULES + 5; i++) {
        snprintf(name, sizeof name, "t%d", (int)i);
        tensor_file_add(&file, name, (const uint64_t[UT_MAX_DIMS]){16, 16 + i, 3}, NULL);
    }
    assert_int_equal(shapes_of(&file, shapes), UT_MINIMAL_MAX_RULES);
    assert_int_equal(shapes_of(&file, shapes), 0);
}

static void no_memory(void **state) {
    struct failing_allocator failing;
    utter_allocator allocator = failing_allocator_start(&failing);
    struct ut_mem scarce;
    struct ut_minimal_table table;
    struct ut_compute compute = {.kernels = ut_kernels_get(ut_cpu_level_best())};
    utter_error err;
    ut_mem_init(&scarce, &allocator);
    assert_int_equal(ut_pool_create(&mem, 1, &compute.pool, &err), UTTER_OK);
    for (size_t at = 1; at <= 4; at++) {
        failing_allocator_reset(&failing, at, true);
        assert_int_equal(
            ut_tuning_measure(&compute, &scarce, ut_tuning_shapes, 2, &table, NULL, NULL, &err),
            UTTER_ERROR_MEMORY);
        assert_int_equal(failing.n_blocks, 0);
    }
    failing_allocator_reset(&failing, 1, true);
    assert_int_equal(parse(&scarce, HEAD "[]}", &table, &err), UTTER_ERROR_MEMORY);
    ut_pool_destroy(compute.pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sound_file),
        cmocka_unit_test(damaged_files),
        cmocka_unit_test(another_level),
        cmocka_unit_test(more_entries_than_there_may_be),
        cmocka_unit_test(a_measurement_comes_back_from_its_file),
        cmocka_unit_test(measurements_are_added),
        cmocka_unit_test(shapes_of_a_model),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
