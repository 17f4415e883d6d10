/* The way of samples from a model to the caller: unit by unit, joined without clicks. */
#ifndef UT_SPEECH_JOIN_H
#define UT_SPEECH_JOIN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/mem.h"

enum {
    UT_JOIN_BLOCK = 2048,  /* most samples in one call of the sink */
    UT_JOIN_MAX_FADE = 192 /* more than 2.5 ms at 48 kHz */
};

enum ut_join_stop {
    UT_JOIN_GOES_ON,
    UT_JOIN_SINK_SAID_STOP,
    UT_JOIN_NOT_FINITE,
    UT_JOIN_NO_MEMORY
};

struct ut_join_settings {
    utter_sink_fn sink;
    void *user;
    int32_t sample_rate_hz;
    float volume;
    bool normalize; /* every unit is kept until it is complete, then scaled by its peak */
    bool fade;      /* ramps of 2.5 ms where a unit starts or ends with an audible step */
};

/* Part of a stream; 9 kB, most of it the block. `block` holds what is on its way to the sink. */
struct ut_join {
    struct ut_mem *mem;
    struct ut_join_settings settings;
    enum ut_join_stop stop;
    uint64_t n_samples;      /* given to the sink since ut_join_start */
    uint64_t n_unit_samples; /* of them since ut_join_begin */
    double first_s;          /* when the sink was first called (monotonic clock); 0: not yet */
    int n_fade, n_fade_in;   /* length of a ramp; samples of the current one still to come */
    bool unit_started;
    int n_held; /* samples at the front of `block`, kept for a ramp at the end */
    float block[UT_JOIN_MAX_FADE + UT_JOIN_BLOCK];
    float *unit; /* normalize: the unit so far */
    size_t n_unit, unit_capacity;
};

void ut_join_init(struct ut_join *join, struct ut_mem *mem);
/* Leaves a join that may be started again. */
void ut_join_free(struct ut_join *join);

/* For each text. */
void ut_join_start(struct ut_join *join, const struct ut_join_settings *settings);

/* For each unit: begin, push any number of times, then end or abort. push and end return false when
 * the unit cannot go on; ut_join_status says why. push fits a backend's sink; user is the join. */
void ut_join_begin(struct ut_join *join);
bool ut_join_push(void *user, const float *samples, size_t n);
bool ut_join_end(struct ut_join *join);
/* The unit failed. What the sink already has of it is faded out; if that is nothing, nothing of the
 * unit is heard and another backend may speak it. */
void ut_join_abort(struct ut_join *join);

/* Zeros between units; false when the sink said stop or `cancel` was set. */
bool ut_join_silence(struct ut_join *join, double seconds, const _Atomic bool *cancel);

/* UTTER_OK while nothing stopped the join, else what did, with its message. */
UTTER_CHECKED utter_status ut_join_status(const struct ut_join *join, utter_error *err);

#endif
