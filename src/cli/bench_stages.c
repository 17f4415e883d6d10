/* What the stages of a native voice took, beside what bounds them: no machine makes the products of
 * a stage faster than its peak allows, nor reads its weights faster than memory does. */
#include <string.h>

#include "bench.h"
#include "bench_stats.h"

/* 0 where it is missing: what a voice does not have takes no time. */
static double number(const json_t *object, const char *name) {
    return json_number_value(json_object_get(object, name));
}

/* The best of the rounds: what the machine does when nothing else runs. */
static double peak_of(const json_t *answers, const char *name) {
    const json_t *answer;
    double best = 0;
    size_t i;
    json_array_foreach(answers, i, answer) {
        double peak = number(json_object_get(answer, "peaks"), name);
        best = peak > best ? peak : best;
    }
    return best;
}

/* Adds what `macs` of an arithmetic take; -1 where its peak is not known. */
static double add_bound(double bound_s, double macs, double peak) {
    return macs == 0 || bound_s < 0 ? bound_s : peak > 0 ? bound_s + macs / peak : -1;
}

/* Stage `index` in each of the rounds: medians. */
static void take_times(const json_t *answers, size_t index, struct bench_stage *out) {
    double wall_s[BENCH_MAX_ROUNDS], cpu_s[BENCH_MAX_ROUNDS];
    const json_t *answer;
    size_t i, n = 0;
    json_array_foreach(answers, i, answer) {
        const json_t *stage = json_array_get(json_object_get(answer, "stages"), index);
        if (stage && n < BENCH_MAX_ROUNDS) {
            wall_s[n] = number(stage, "wall_s");
            cpu_s[n++] = number(stage, "cpu_s");
        }
    }
    out->wall_s = stats_median(wall_s, n);
    out->cpu_s = stats_median(cpu_s, n);
}

/* Products and weights are the same in every round: those of the last are taken. */
size_t bench_stages(const json_t *answers, struct bench_stage *out, size_t max) {
    const json_t *last = json_array_get(answers, json_array_size(answers) - 1), *stage;
    double f32 = peak_of(answers, "f32_macs_per_s"), bf16 = peak_of(answers, "bf16_macs_per_s");
    double int8 = peak_of(answers, "int8_macs_per_s"), read = peak_of(answers, "read_bytes_per_s");
    bool alone = number(last, "threads") <= 1;
    size_t i, n = 0;
    json_array_foreach(json_object_get(last, "stages"), i, stage) {
        if (n == max) {
            break;
        }
        struct bench_stage *s = &out[n++];
        *s = (struct bench_stage){.name = json_string_value(json_object_get(stage, "name")),
                                  .macs_f32 = number(stage, "macs_f32"),
                                  .macs_bf16 = number(stage, "macs_bf16"),
                                  .macs_int8 = number(stage, "macs_int8"),
                                  .weight_bytes = number(stage, "weight_bytes")};
        take_times(answers, i, s);
        s->time_s = alone ? s->cpu_s : s->wall_s;
        s->mac_bound_s = add_bound(0, s->macs_f32, f32);
        s->mac_bound_s = add_bound(s->mac_bound_s, s->macs_bf16, bf16);
        s->mac_bound_s = add_bound(s->mac_bound_s, s->macs_int8, int8);
        s->read_bound_s = read > 0 ? s->weight_bytes / read : -1;
    }
    return n;
}

/* A stage cannot do both at once faster than the slower of them takes. */
double bench_stage_bound(const struct bench_stage *stage) {
    if (stage->mac_bound_s < 0) {
        return -1;
    }
    return stage->mac_bound_s > stage->read_bound_s ? stage->mac_bound_s : stage->read_bound_s;
}

/* Milliseconds, or a dash for what is not known. */
static void put_ms(char *out, size_t size, double seconds) {
    if (seconds < 0) {
        snprintf(out, size, "-");
    } else {
        snprintf(out, size, "%.2f", 1000 * seconds);
    }
}

void bench_print_peaks(const json_t *answers) {
    double f32 = peak_of(answers, "f32_macs_per_s"), bf16 = peak_of(answers, "bf16_macs_per_s");
    double int8 = peak_of(answers, "int8_macs_per_s"), read = peak_of(answers, "read_bytes_per_s");
    printf("peaks: f32 %.1f", f32 * 1e-9);
    if (bf16 > 0) {
        printf(", bf16 %.1f", bf16 * 1e-9);
    }
    if (int8 > 0) {
        printf(", int8 %.1f", int8 * 1e-9);
    }
    printf(" GMAC/s; memory is read at %.1f GB/s\n", read * 1e-9);
}

void bench_print_stages(const struct bench_stage *stages, size_t n) {
    double total_s = 0;
    for (size_t i = 0; i < n; i++) {
        total_s += stages[i].time_s;
    }
    printf("%-14s %9s %5s %8s %8s %8s %9s %9s %9s\n", "stage", "ms", "%", "GMAC", "GMAC/s",
           "weights", "products", "reading", "of bound");
    printf("%-14s %9s %5s %8s %8s %8s %9s %9s %9s\n", "", "", "", "", "", "MB", "ms", "ms", "%");
    for (size_t i = 0; i < n; i++) {
        const struct bench_stage *s = &stages[i];
        double macs = s->macs_f32 + s->macs_bf16 + s->macs_int8, bound_s = bench_stage_bound(s);
        char products[24], reading[24], share[24] = "-";
        put_ms(products, sizeof products, s->mac_bound_s);
        put_ms(reading, sizeof reading, s->read_bound_s);
        if (bound_s >= 0 && s->time_s > 0) {
            snprintf(share, sizeof share, "%.0f", 100 * bound_s / s->time_s);
        }
        printf("%-14s %9.2f %5.1f %8.3f %8.1f %8.2f %9s %9s %9s\n", s->name, 1000 * s->time_s,
               total_s > 0 ? 100 * s->time_s / total_s : 0, macs * 1e-9,
               s->time_s > 0 ? macs * 1e-9 / s->time_s : 0, s->weight_bytes / (1 << 20), products,
               reading, share);
    }
}
