/* Joining units: a guard against samples that are no numbers, peak scaling, ramps at the ends,
 * volume. A model's sentence may start or end away from zero, and beside silence that step is a
 * click; only then are 2.5 ms ramped, and nothing else of a unit is ever altered but by volume and
 * the limit of full scale. One thread at a time: that of the stream. */
#include "speech/join.h"

#include <math.h>
#include <string.h>

#include "audio/convert.h"
#include "base/checked.h"
#include "base/clock.h"

/* -46 dB of full scale: a step below this drowns in the noise floor of the voices. */
#define AUDIBLE_STEP 0.005f
#define FADE_S 0.0025f
/* Normalizing never amplifies more than this, as the old piper program: silence stays silence. */
#define MAX_GAIN 100.0f

void ut_join_init(struct ut_join *join, struct ut_mem *mem) {
    memset(join, 0, sizeof *join);
    join->mem = mem;
}

void ut_join_free(struct ut_join *join) {
    ut_mem_free(join->mem, join->unit);
    ut_join_init(join, join->mem);
}

/* The block of the unit that normalizing keeps stays from text to text. */
void ut_join_start(struct ut_join *join, const struct ut_join_settings *settings) {
    join->settings = *settings;
    join->stop = UT_JOIN_GOES_ON;
    join->n_samples = 0;
    join->first_s = 0;
    int n = (int)lrintf(FADE_S * (float)settings->sample_rate_hz);
    join->n_fade = settings->fade ? UT_MIN(UT_MAX(n, 1), UT_JOIN_MAX_FADE) : 0;
    ut_join_begin(join);
}

void ut_join_begin(struct ut_join *join) {
    join->n_unit_samples = 0;
    join->n_fade_in = 0;
    join->unit_started = false;
    join->n_held = 0;
    join->n_unit = 0;
}

/* The one place where the sink is called. Once it said stop, nothing is sent any more. */
static bool send(struct ut_join *join, const float *samples, size_t n) {
    if (join->first_s == 0) {
        join->first_s = ut_clock_s();
    }
    join->n_samples += n;
    join->n_unit_samples += n;
    if (!join->settings.sink(join->settings.user, samples, n)) {
        join->stop = UT_JOIN_SINK_SAID_STOP;
    }
    return join->stop == UT_JOIN_GOES_ON;
}

/* Ramps up what is still inside the fade-in, then sends. */
static bool release(struct ut_join *join, float *samples, int n) {
    for (int i = 0; i < n && join->n_fade_in > 0; i++, join->n_fade_in--) {
        samples[i] *= 1.0f - (float)join->n_fade_in / (float)join->n_fade;
    }
    return n == 0 || send(join, samples, (size_t)n);
}

/* Through volume and limit to the sink, all but the last n_fade samples, which are held back. */
static bool stream(struct ut_join *join, const float *samples, size_t n, float gain) {
    for (size_t at = 0; at < n;) {
        int n_new = (int)UT_MIN(n - at, (size_t)UT_JOIN_BLOCK);
        float *fresh = join->block + join->n_held;
        for (int i = 0; i < n_new; i++) {
            fresh[i] = samples[at + i] * gain;
        }
        ut_convert_clip(fresh, fresh, (size_t)n_new);
        if (!join->unit_started) {
            join->unit_started = true;
            join->n_fade_in = fabsf(fresh[0]) > AUDIBLE_STEP ? join->n_fade : 0;
        }
        int n_all = join->n_held + n_new, n_hold = UT_MIN(join->n_fade, n_all);
        if (!release(join, join->block, n_all - n_hold)) {
            return false;
        }
        memmove(join->block, join->block + n_all - n_hold, (size_t)n_hold * sizeof(float));
        join->n_held = n_hold;
        at += (size_t)n_new;
    }
    return true;
}

/* The join's sink while normalizing: nothing is heard until the unit is complete. */
static bool keep(struct ut_join *join, const float *samples, size_t n) {
    size_t needed = join->n_unit + n;
    if (needed > join->unit_capacity) {
        size_t capacity = UT_MAX(needed, join->unit_capacity * 2);
        float *grown =
            ut_mem_realloc(join->mem, UT_MEM_SESSION, join->unit, capacity * sizeof *grown);
        if (!grown) {
            join->stop = UT_JOIN_NO_MEMORY;
            return false;
        }
        join->unit = grown;
        join->unit_capacity = capacity;
    }
    memcpy(join->unit + join->n_unit, samples, n * sizeof *samples);
    join->n_unit = needed;
    return true;
}

/* Checked before anything of the block is heard: a damaged voice would otherwise be a bang. */
bool ut_join_push(void *user, const float *samples, size_t n) {
    struct ut_join *join = user;
    if (join->stop != UT_JOIN_GOES_ON) {
        return false;
    }
    if (ut_convert_find_not_finite(samples, n) < n) {
        join->stop = UT_JOIN_NOT_FINITE;
        return false;
    }
    return join->settings.normalize ? keep(join, samples, n)
                                    : stream(join, samples, n, join->settings.volume);
}

/* Down to exactly 0 at the last sample. */
static void fade_out(struct ut_join *join, float *samples, int n) {
    for (int i = 0; i < n; i++) {
        samples[i] *= (float)(n - 1 - i) / (float)n;
    }
}

static float peak_of(const float *samples, size_t n) {
    float peak = 0;
    for (size_t i = 0; i < n; i++) {
        peak = fmaxf(peak, fabsf(samples[i]));
    }
    return peak;
}

/* What was held back is at most one ramp; it fades out only where the end would be heard as a
 * step. */
bool ut_join_end(struct ut_join *join) {
    if (join->settings.normalize) {
        float gain = 1.0f / fmaxf(peak_of(join->unit, join->n_unit), 1.0f / MAX_GAIN);
        if (!stream(join, join->unit, join->n_unit, gain * join->settings.volume)) {
            return false;
        }
    }
    if (join->n_held > 0 && fabsf(join->block[join->n_held - 1]) > AUDIBLE_STEP) {
        fade_out(join, join->block, join->n_held);
    }
    int n = join->n_held;
    join->n_held = 0;
    return release(join, join->block, n);
}

/* After a failure the reason to stop stays what it was, whatever the sink says to the fade. */
void ut_join_abort(struct ut_join *join) {
    bool heard = join->n_unit_samples > 0 && join->stop != UT_JOIN_SINK_SAID_STOP;
    int n = heard ? join->n_held : 0;
    enum ut_join_stop stop = join->stop;
    fade_out(join, join->block, n);
    (void)release(join, join->block, n);
    join->stop = stop;
    join->n_held = 0;
    join->n_unit = 0;
}

/* Zeros go out in blocks, so that a long pause can be cancelled. */
bool ut_join_silence(struct ut_join *join, double seconds, const _Atomic bool *cancel) {
    uint64_t n = (uint64_t)llrint(seconds * join->settings.sample_rate_hz);
    memset(join->block, 0, sizeof join->block);
    while (n > 0 && join->stop == UT_JOIN_GOES_ON && !*cancel) {
        size_t n_now = (size_t)UT_MIN(n, (uint64_t)UT_JOIN_BLOCK);
        (void)send(join, join->block, n_now);
        n -= n_now;
    }
    return n == 0 && join->stop == UT_JOIN_GOES_ON;
}

utter_status ut_join_status(const struct ut_join *join, utter_error *err) {
    switch (join->stop) {
    case UT_JOIN_GOES_ON:
        return UTTER_OK;
    case UT_JOIN_SINK_SAID_STOP:
        return ut_fail(err, UTTER_ERROR_CANCELLED, "the callback asked to stop");
    case UT_JOIN_NOT_FINITE:
        return ut_fail(err, UTTER_ERROR_MODEL,
                       "the model produced samples that are no finite numbers: "
                       "the voice is damaged");
    case UT_JOIN_NO_MEMORY:
        return ut_fail_memory(err, join->unit_capacity * 2 * sizeof(float));
    }
    return ut_fail(err, UTTER_ERROR_INTERNAL, "unknown reason to stop: %d", (int)join->stop);
}
