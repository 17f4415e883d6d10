/* Filling utter_error: every failing function ends with `return ut_fail(err, CODE, "...", ...)`. */
#ifndef UT_BASE_ERROR_H
#define UT_BASE_ERROR_H

#include "utter.h"

/* Writes the message (cut to fit, newlines and control characters made visible, invalid UTF-8
 * replaced) and returns `code`. `err` may be NULL. Messages say what was wrong, where, and what to
 * do; no full stop at the end. */
__attribute__((format(printf, 3, 4))) utter_status ut_fail(utter_error *err, utter_status code,
                                                           const char *format, ...);

/* Puts "context: " before the message that `err` already holds; returns `code`, also without err. */
__attribute__((format(printf, 3, 4))) utter_status ut_fail_context(utter_error *err, utter_status code,
                                                                   const char *format, ...);

/* The one message for an allocation that failed. */
utter_status ut_fail_memory(utter_error *err, size_t n_bytes);

/* Where warnings go: copied from the engine's options into whoever may warn. */
struct ut_log {
    utter_log_fn fn;
    void *user;
};

/* Does nothing without a log or a receiver. Called from any thread that has something to say. */
__attribute__((format(printf, 3, 4))) void ut_log(const struct ut_log *log, utter_log_level level,
                                                  const char *format, ...);

#endif
