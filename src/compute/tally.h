/* What a run costs, stage by stage: time, multiply-accumulates and weights. Operations (compute.h, time_conv.h,
 * narrow.h) count themselves where struct ut_compute has a tally; models say which stage they are in.
 * Multiply-accumulates are those of the direct sums, also where minimal filtering does with fewer, and without
 * padding. One thread at a time: operations are called by the thread that runs the model. */
#ifndef UT_COMPUTE_TALLY_H
#define UT_COMPUTE_TALLY_H

#include <stddef.h>
#include <stdint.h>

enum { UT_TALLY_MAX_STAGES = 24, UT_TALLY_MAX_SEEN = 2048 /* a power of two */ };

enum ut_tally_kind { UT_TALLY_F32, UT_TALLY_BF16, UT_TALLY_INT8, UT_TALLY_N_KINDS };

struct ut_tally_stage {
    const char *name; /* static storage */
    double wall_s, cpu_s; /* cpu: of the whole process */
    uint64_t n_macs[UT_TALLY_N_KINDS];
    uint64_t weight_bytes; /* as packed; each layer's once in a unit */
};

struct ut_tally {
    struct ut_tally_stage stages[UT_TALLY_MAX_STAGES]; /* in the order of their first beginning */
    int n_stages;
    struct ut_tally_stage *current; /* NULL: none */
    double since_s, since_cpu_s;
    const void *seen[UT_TALLY_MAX_SEEN]; /* weights of this unit, by a hash of the address */
    int n_seen;
};

/* Each of these does nothing for a tally that is NULL. */

/* No stages. */
void ut_tally_reset(struct ut_tally *tally);
/* A unit begins: weights count anew. */
void ut_tally_begin_unit(struct ut_tally *tally);
/* The stage before ends, and this begins or goes on; NULL: none. Beyond UT_TALLY_MAX_STAGES names nothing is
 * counted. */
void ut_tally_begin(struct ut_tally *tally, const char *name);
void ut_tally_count(struct ut_tally *tally, enum ut_tally_kind kind, uint64_t n_macs,
                    const void *weights, size_t weight_bytes);

#endif
