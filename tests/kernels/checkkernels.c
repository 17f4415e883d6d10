/* Checks every entry of every processor level this machine has against a reference in double, in
 * the manner of dav1d's checkasm, and times them.
 *
 *   checkkernels [--test] [--bench] [--function NAME] [--cpu LEVEL] [--seed N]
 *
 * --function takes a part of an entry's name. Exit status 1: a check failed; 77: the asked level is
 * absent here (Meson counts that as skipped). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "checkkernels.h"

#define ENTRY(field, check)                                                                        \
    { #field, offsetof(struct ut_kernels, field), check }

static const struct entry {
    const char *name;
    size_t offset;
    void (*check)(struct check *c);
} entries[] = {
    ENTRY(conv_f32, check_conv_f32),
    ENTRY(conv_f16, check_conv_f16),
    ENTRY(conv_bf16, check_conv_bf16),
    ENTRY(depthwise_f32, check_depthwise),
    ENTRY(filter_in_f32, check_filter_in),
    ENTRY(filter_out_f32, check_filter_out),
    ENTRY(dot_rows_f32, check_dot_rows),
    ENTRY(layernorm_f32, check_layernorm),
    ENTRY(softmax_f32, check_softmax),
    ENTRY(gate_f32, check_gate),
    ENTRY(spline_inverse_f32, check_spline),
    ENTRY(modulate_f32, check_modulate),
    ENTRY(moments_f32, check_moments),
    ENTRY(lstm_cell_f32, check_lstm_cell),
    ENTRY(leaky_relu_f32, check_leaky_relu),
    ENTRY(gelu_f32, check_gelu),
    ENTRY(gelu_tanh_f32, check_gelu_tanh),
    ENTRY(sin_f32, check_sin),
    ENTRY(cos_f32, check_cos),
    ENTRY(tanh_f32, check_tanh),
    ENTRY(sigmoid_f32, check_sigmoid),
    ENTRY(exp_f32, check_exp),
    ENTRY(add_f32, check_add),
    ENTRY(sub_f32, check_sub),
    ENTRY(mul_add_f32, check_mul_add),
    ENTRY(f16_to_f32, check_f16_to_f32),
    ENTRY(bf16_to_f32, check_bf16_to_f32),
    ENTRY(f32_to_bf16, check_f32_to_bf16),
};

/* Of the tables of narrow arithmetic, all that this processor can run at the level. */
static const struct entry narrow_entries[] = {
    {"conv_i8", 0, check_conv_i8},
    {"quantize_i8", 0, check_quantize_i8},
    {"conv_b16", 0, check_conv_b16},
    {"quantize_b16", 0, check_quantize_b16},
};

/* Entries that are the scalar function at higher levels too. */
static const struct {
    size_t offset;
    const char *reason;
} kept_scalar[] = {
    {offsetof(struct ut_kernels, spline_inverse_f32),
     "one value per phoneme: 0.1 % of the time of a sentence"},
};

typedef void (*any_fn)(void);

static any_fn function_at(const struct ut_kernels *table, size_t offset) {
    any_fn function;
    memcpy(&function, (const char *)table + offset, sizeof function);
    return function;
}

/* Every function in struct ut_kernels has its check, once. */
static int check_coverage(void) {
    int n_bad = 0;
    for (size_t at = entries[0].offset; at < offsetof(struct ut_kernels, i8);
         at += sizeof(any_fn)) {
        int n_checks = 0;
        for (int i = 0; i < COUNT(entries); i++) {
            n_checks += entries[i].offset == at;
        }
        if (n_checks != 1) {
            printf("the entry at byte %zu of struct ut_kernels has %d checks\n", at, n_checks);
            n_bad++;
        }
    }
    return n_bad;
}

/* An entry of a level is filled, and is the scalar one only if the list above says so. */
static int check_table(const struct ut_kernels *table) {
    const struct ut_kernels *scalar = ut_kernels_get(UT_CPU_SCALAR);
    const char *level = ut_cpu_level_name(table->level);
    int n_bad = 0;
    if (table->panel < 1 || table->panel > UT_MAX_PANEL || table != ut_kernels_get(table->level)) {
        printf("%s: panel %d or another table at the second call\n", level, table->panel);
        n_bad++;
    }
    for (int i = 0; i < COUNT(entries); i++) {
        any_fn function = function_at(table, entries[i].offset);
        bool is_scalar = function == function_at(scalar, entries[i].offset), listed = false;
        for (int k = 0; k < COUNT(kept_scalar); k++) {
            listed = listed || kept_scalar[k].offset == entries[i].offset;
        }
        if (!function || (table != scalar && is_scalar != listed)) {
            printf("%s %s: %s\n", level, entries[i].name,
                   !function   ? "not filled"
                   : is_scalar ? "scalar, but not listed"
                               : "listed as scalar");
            n_bad++;
        }
    }
    return n_bad;
}

/* The loops of the peaks do as many products as they say they do, and add up everything. */
static int check_peaks(const struct ut_kernels *table) {
    const char *level = ut_cpu_level_name(table->level);
    float x[301];
    int n_bad = 0;
    if (table->level == UT_CPU_SCALAR) {
        return 0;
    }
    for (int n = 0; n <= COUNT(x); n++) {
        for (int i = 0; i < n; i++) {
            x[i] = (float)(i + 1);
        }
        if (table->read_f32(x, (size_t)n) != (float)(n * (n + 1) / 2)) {
            printf("%s read_f32: wrong sum of %d\n", level, n);
            n_bad++;
        }
    }
    if (table->peak_f32(1000) < 1000 || table->peak_f32(2000) != 2 * table->peak_f32(1000)) {
        printf("%s peak_f32: wrong number of products\n", level);
        n_bad++;
    }
    return n_bad;
}

struct options {
    bool test, bench;
    const char *function; /* NULL: all */
    int level;            /* -1: all that this machine has */
    uint64_t seed;
};

static int usage(void) {
    printf("usage: checkkernels [--test] [--bench] [--function NAME] [--cpu LEVEL] [--seed N]\n");
    return 2;
}

/* 0, or the exit status. */
static int parse_options(struct options *o, int argc, char **argv) {
    *o = (struct options){.level = -1, .seed = (uint64_t)time(NULL)};
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--test") == 0) {
            o->test = true;
            continue;
        }
        if (strcmp(argv[i], "--bench") == 0) {
            o->bench = true;
            continue;
        }
        enum ut_cpu_level level;
        if (!value) {
            return usage();
        }
        if (strcmp(argv[i], "--function") == 0) {
            o->function = value;
        } else if (strcmp(argv[i], "--cpu") == 0 && ut_cpu_level_parse(value, &level)) {
            o->level = (int)level;
        } else if (strcmp(argv[i], "--seed") == 0) {
            o->seed = strtoull(value, NULL, 0);
        } else {
            return usage();
        }
        i++;
    }
    o->test = o->test || !o->bench;
    return 0;
}

/* Runs the wanted ones of n entries; returns how many checks failed. */
static int test_entries(const struct entry *list, int n, const struct ut_kernels *table,
                        const struct options *o, int *n_run) {
    int n_failed = 0;
    for (int i = 0; i < n; i++) {
        if (o->function && !strstr(list[i].name, o->function)) {
            continue;
        }
        struct check c = {.table = table, .entry = list[i].name, .state = o->seed + (uint64_t)i};
        list[i].check(&c);
        printf("%-7s %-20s %s, %ld values, error at most %.2f of the bound\n",
               ut_cpu_level_name(table->level), c.entry, c.n_failed ? "FAILED" : "ok", c.n_compared,
               c.worst);
        n_failed += c.n_failed;
        (*n_run)++;
    }
    return n_failed;
}

/* Failed checks at one level. */
static int test_level(const struct ut_kernels *table, const struct options *o) {
    int n_run = 0, n_failed = check_table(table) + check_peaks(table);
    n_failed += test_entries(entries, COUNT(entries), table, o, &n_run);
    n_failed += test_entries(narrow_entries, COUNT(narrow_entries), table, o, &n_run);
    if (n_run == 0) {
        printf("no entry is called like %s\n", o->function);
        n_failed++;
    }
    return n_failed;
}

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IOLBF, 0); /* a kernel that faults leaves the lines before it */
    struct options o;
    int status = parse_options(&o, argc, argv), n_failed = check_coverage();
    if (status) {
        return status;
    }
    if (o.level >= 0 && !ut_cpu_level_supported((enum ut_cpu_level)o.level)) {
        printf("%s: not on this machine or not in this build\n",
               ut_cpu_level_name((enum ut_cpu_level)o.level));
        return 77;
    }
    printf("seed %llu\n", (unsigned long long)o.seed);
    for (int level = 0; level < UT_CPU_N_LEVELS; level++) {
        const struct ut_kernels *table = ut_kernels_get((enum ut_cpu_level)level);
        if (!table || (o.level >= 0 && o.level != level)) {
            continue;
        }
        n_failed += o.test ? test_level(table, &o) : 0;
        if (o.bench) {
            bench_level(table, o.function);
            bench_narrow(table, o.function);
        }
    }
    return n_failed ? 1 : 0;
}
