/* For tests of the public interface: a sink that listens, paths of fixtures, voices written to
 * a folder of their own. Includes only utter.h and the voice builder. */
#ifndef UT_TESTS_TALK_H
#define UT_TESTS_TALK_H

#include <stdbool.h>

#include "support/voice_builder.h"
#include "utter.h"

/* What a sink heard. Zeroed: keeps nothing but counts. */
struct heard {
    bool keep;           /* set by the caller: samples are kept */
    uint64_t stop_after; /* set by the caller: say stop when this many came; 0: never */
    float *samples;
    uint64_t n, capacity, n_calls, hash; /* hash of every sample's bits, in order */
    float largest;                       /* |sample| */
    bool sound; /* all finite and within -1..1; true at first by heard_init */
};

void heard_init(struct heard *heard, bool keep);
void heard_free(struct heard *heard);
bool hear(void *user, const float *samples, size_t n); /* user: struct heard */
bool heard_same(const struct heard *a, const struct heard *b);

/* "UT_TEST_DATA/name"; four may be in use at once. Ends the program when the variable is not set.
 */
const char *data_path(const char *name);

/* Is this the run of everything (UT_TEST_FULL=1), or that of the suite, which samples? */
bool full_run(void);

/* An engine, or the test fails. */
utter_engine *open_engine(int32_t n_threads, const utter_allocator *allocator);
/* A voice without fallback, or the test fails. */
utter_voice *open_voice(utter_engine *engine, const char *path);
utter_stream *open_stream(utter_voice *voice);

/* Writes the voice's files to a new folder, whose path it returns; as voice.onnx, or
 * voice.safetensors for a house voice. Remove it with remove_folder. */
const char *write_voice(const struct voice *voice, const char *json_from, const char *json_to);
void write_file(const char *folder, const char *name, const void *data, size_t n);
void remove_folder(const char *folder);

#endif
