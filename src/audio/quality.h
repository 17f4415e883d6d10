/* How far one rendering of some speech is from another: what utter_compare does, with an allocator
 * of the caller's. */
#ifndef UT_AUDIO_QUALITY_H
#define UT_AUDIO_QUALITY_H

#include "base/mem.h"

/* `options` and `out` are complete: of this version's size. Errors as utter_compare. */
UTTER_CHECKED utter_status ut_quality_compare(struct ut_mem *mem, const utter_sound *ref,
                                              const utter_sound *test,
                                              const utter_compare_options *options,
                                              utter_quality *out, utter_error *err);

#endif
