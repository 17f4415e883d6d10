/* libespeak-ng, shared by the phonemizer and the formant voice. It keeps global state, so all use
 * goes between ut_espeak_lock and ut_espeak_unlock. The only file group that includes espeak's header. */
#ifndef UT_TEXT_ESPEAK_LIB_H
#define UT_TEXT_ESPEAK_LIB_H

#include <pthread.h>

#include "base/error.h"

/* Initialises espeak-ng and lists its voices in a thread of its own, which takes 8 ms that loading a model
 * need not wait for. Failures are met again, and told, where espeak-ng is used. */
struct ut_espeak_early {
    pthread_t thread;
    bool runs; /* false: no thread could be had, or espeak-ng is not in this build */
};
void ut_espeak_begin_early(struct ut_espeak_early *early);
void ut_espeak_end_early(struct ut_espeak_early *early); /* waits */

/* Locks and, the first time, initialises. On failure (built without espeak-ng, or its data is
 * missing: says which and what to install) nothing is locked. */
UTTER_CHECKED utter_status ut_espeak_lock(utter_error *err);
void ut_espeak_unlock(void);

/* Chooses a voice by name, with the lock held. When espeak refuses the name a stated substitute
 * is tried (en-gb -> en-gb-x-rp, fr-fr -> fr, en_US -> en-us, xx-YY -> xx) and logged; if none works
 * ERROR_NOT_FOUND names the nearest, and no voice is set. MBROLA voices are ERROR_UNSUPPORTED. */
UTTER_CHECKED utter_status ut_espeak_set_voice(const char *name, const struct ut_log *log,
                                               utter_error *err);

/* espeak-ng takes no notice of a file of its data that cannot be read (too many open files, a
 * failing disk): it goes on without the dictionary, with another voice, or into a null pointer. Only
 * errno tells: set it to 0, let espeak-ng work, then ask here. ERROR_IO if a file was not read;
 * then the voice is loaded anew next time. Lock held. */
UTTER_CHECKED utter_status ut_espeak_check_files(utter_error *err);

int ut_espeak_sample_rate(void); /* of the formant voice, with the lock held */
const char *ut_espeak_version(void); /* "1.51"; "" when built without */

/* With the lock held and a voice set: puts spaces over what espeak-ng must not see in n bytes of valid UTF-8.
 * Control characters are commands to it; characters of scripts that it would read with another of its
 * languages corrupt its memory (Bengali digits with an English voice). Returns the number of the latter. */
size_t ut_espeak_blank(char *text, size_t n);
/* Tells of that number, unless it is 0. Needs no lock. */
void ut_espeak_warn_blanked(size_t n, const struct ut_log *log);

/* Speaks UTF-8 with the voice that is set, lock held; `sink` gets 16-bit samples and returns false
 * to stop (ERROR_CANCELLED). rate_wpm 80..450. A control character other than white space is
 * ERROR_ARGUMENT, for espeak-ng would obey it. The samples of one text differ a little from call to
 * call: espeak-ng keeps state between texts and draws its noise from rand(). */
UTTER_CHECKED utter_status ut_espeak_synth(const char *text, int rate_wpm,
                                           bool (*sink)(void *user, const int16_t *samples, size_t n),
                                           void *user, utter_error *err);

#endif
