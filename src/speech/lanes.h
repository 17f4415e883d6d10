/* Sentences spoken side by side: each lane is a thread with a session of its own, which speaks the next
 * sentence that no lane has; the caller hears them in order, the one that is due while it is still being
 * spoken. One thread for a sentence wastes nothing at barriers, so a text of several is sooner finished than by
 * all threads on one sentence; the first sound is not, which is why the first sentence of a text does not come
 * here (stream.c). Samples are the same either way: every sentence has its own seed. */
#ifndef UT_SPEECH_LANES_H
#define UT_SPEECH_LANES_H

#include "backend/backend.h"

enum { UT_LANES_MAX = 8, UT_LANES_USUAL = 4 /* each has the memory of a sentence */ };

struct ut_lanes; /* used by one thread at a time */

/* Units to speak, borrowed until ut_lanes_end: as backend->speak takes them, each with a seed of its number. */
struct ut_lanes_task {
    const struct ut_unit *units;
    size_t n_units;
    uint64_t first_number;                /* of units[0] in its text, */
    uint64_t seed;                        /* which has this one */
    const struct ut_speak_params *params; /* all but the seed and where the samples go */
};

/* Lanes for a voice. The first one borrows the caller's session, which must not be used between begin and end;
 * threads and further sessions come when they are first needed. */
UTTER_CHECKED utter_status ut_lanes_create(struct ut_mem *mem, const struct ut_backend_voice *voice,
                                           struct ut_backend_session *session,
                                           struct ut_pool *pool, struct ut_lanes **out,
                                           utter_error *err);
void ut_lanes_destroy(struct ut_lanes *lanes); /* NULL is fine; not between begin and end */

/* Starts speaking on up to n_lanes lanes. False when less than two can be had: nothing was begun. */
bool ut_lanes_begin(struct ut_lanes *lanes, const struct ut_lanes_task *task, int n_lanes);

/* The next unit into params->sink, in the calling thread; at most n_units times. Result, stats and error as
 * of backend->speak; ERROR_MEMORY also when there is none for samples that wait to be heard. */
UTTER_CHECKED utter_status ut_lanes_speak(struct ut_lanes *lanes,
                                          const struct ut_speak_params *params,
                                          struct ut_speak_stats *stats, utter_error *err);

/* Stops what is still being spoken and waits for it. */
void ut_lanes_end(struct ut_lanes *lanes);

#endif
