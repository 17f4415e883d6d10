/* The line on a terminal that tells how far a text is, and what stands in a report. */
#ifndef UT_CLI_PROGRESS_H
#define UT_CLI_PROGRESS_H

#include "utter.h"

/* A utter_progress_fn: rewrites the line. `user` is not used. */
void progress_show(void *user, const utter_progress *progress);

/* The same line for work that is counted in bytes; `what` is at hand. */
void progress_show_share(uint64_t n_done, uint64_t n_total, const char *what);

/* Removes the line, if there is one, so that something else can be printed there. */
void progress_clear_line(void);

#endif
