/* See tally.h. */
#include "compute/tally.h"

#include <stdbool.h>
#include <string.h>

#include "base/clock.h"

void ut_tally_reset(struct ut_tally *tally) {
    if (tally) {
        memset(tally, 0, sizeof *tally);
    }
}

void ut_tally_begin_unit(struct ut_tally *tally) {
    if (tally) {
        memset(tally->seen, 0, sizeof tally->seen);
        tally->n_seen = 0;
    }
}

/* Stages that come again go on; names are compared, not pointers. NULL when the table is full. */
static struct ut_tally_stage *stage_of(struct ut_tally *tally, const char *name) {
    for (int i = 0; i < tally->n_stages; i++) {
        if (strcmp(tally->stages[i].name, name) == 0) {
            return &tally->stages[i];
        }
    }
    if (tally->n_stages == UT_TALLY_MAX_STAGES) {
        return NULL;
    }
    struct ut_tally_stage *stage = &tally->stages[tally->n_stages++];
    stage->name = name;
    return stage;
}

/* Processor time is that of the whole process: with several sessions at work it is all of
 * theirs. */
void ut_tally_begin(struct ut_tally *tally, const char *name) {
    if (!tally) {
        return;
    }
    double now_s = ut_clock_s(), now_cpu_s = ut_cpu_clock_s();
    if (tally->current) {
        tally->current->wall_s += now_s - tally->since_s;
        tally->current->cpu_s += now_cpu_s - tally->since_cpu_s;
    }
    tally->current = name ? stage_of(tally, name) : NULL;
    tally->since_s = now_s;
    tally->since_cpu_s = now_cpu_s;
}

/* Open addressing; a table three quarters full takes no more, and what is not in it counts again.
 */
static bool is_new(struct ut_tally *tally, const void *weights) {
    /* Fibonacci hashing of an address of which the last six bits are mostly 0. */
    uint64_t hash = ((uint64_t)(uintptr_t)weights >> 6) * UINT64_C(0x9E3779B97F4A7C15);
    size_t at = (size_t)(hash >> 32) & (UT_TALLY_MAX_SEEN - 1);
    while (tally->seen[at] && tally->seen[at] != weights) {
        at = (at + 1) & (UT_TALLY_MAX_SEEN - 1);
    }
    if (tally->seen[at]) {
        return false;
    }
    if (tally->n_seen < UT_TALLY_MAX_SEEN / 4 * 3) {
        tally->seen[at] = weights;
        tally->n_seen++;
    }
    return true;
}

void ut_tally_count(struct ut_tally *tally, enum ut_tally_kind kind, uint64_t n_macs,
                    const void *weights, size_t weight_bytes) {
    if (tally && tally->current) {
        tally->current->n_macs[kind] += n_macs;
        if (weights && is_new(tally, weights)) {
            tally->current->weight_bytes += weight_bytes;
        }
    }
}
