/* Ctrl-C and kill: the running work is stopped, so that the program can remove what it began. */
#ifndef UT_CLI_INTERRUPT_H
#define UT_CLI_INTERRUPT_H

#include <stdbool.h>

#include "utter.h"

/* Begins to watch. Call before any other thread is made; false if that fails (signals then end the
 * program at once, as they do without it). */
bool interrupt_start(void);

/* The stream that a signal cancels; NULL: a signal ends the program. A second one always does. */
void interrupt_set_stream(utter_stream *stream);

/* On: a signal waits to be asked for instead of ending the program; a second one still ends it. */
void interrupt_hold(bool on);

/* The signal that came, 0 if none. */
int interrupt_signal(void);

#endif
