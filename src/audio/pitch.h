/* Pitch and voicing of speech, every 10 ms. */
#ifndef UT_AUDIO_PITCH_H
#define UT_AUDIO_PITCH_H

#include "base/mem.h"

enum { UT_PITCH_RATE_HZ = 16000, UT_PITCH_HOP = 160 };

struct ut_pitch_frame {
    double f0_hz; /* 64..430; meaningless where not voiced */
    bool voiced;
};

/* 1 + n / UT_PITCH_HOP: frames are centred on the multiples of the hop, with silence around. */
size_t ut_pitch_n_frames(size_t n);

/* `samples` is [n] at UT_PITCH_RATE_HZ, n may be 0; `frames` is [ut_pitch_n_frames(n)]. */
UTTER_CHECKED utter_status ut_pitch_track(struct ut_mem *mem, const float *samples, size_t n,
                                          struct ut_pitch_frame *frames, utter_error *err);

#endif
