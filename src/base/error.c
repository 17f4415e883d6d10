/* Error messages: formatted, cut at a character boundary and made safe to print. */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

/* By the negated status. */
static const char *const status_names[] = {
    "ok",
    "bad argument",
    "not found",
    "bad format",
    "not supported",
    "out of memory",
    "input/output error",
    "cancelled",
    "model failure",
    "busy",
    "internal error",
};

const char *utter_status_name(utter_status status) {
    return status <= UTTER_OK && status >= UTTER_ERROR_INTERNAL ? status_names[-(int)status]
                                                                : "unknown status";
}

/* Controls, and marks that change the direction of what follows them. */
static bool is_unprintable(int32_t c) {
    return c < 0x20 || (c >= 0x7F && c < 0xA0) || (c >= 0x2028 && c < 0x202F) ||
           (c >= 0x2066 && c < 0x206A);
}

/* Names in messages come from files and clients: a terminal must not obey them. */
static void make_printable(char *dst, size_t capacity, const char *src) {
    size_t used = 0, left = strlen(src), n;
    for (; left > 0 && used + 5 < capacity; src += n, left -= n) {
        if (is_unprintable(ut_utf8_decode(src, left, &n))) {
            dst[used++] = '?';
        } else {
            memcpy(dst + used, src, n);
            used += n;
        }
    }
    dst[used] = '\0';
}

utter_status ut_fail(utter_error *err, utter_status code, const char *format, ...) {
    if (err) {
        char text[1024];
        va_list args;
        va_start(args, format);
        vsnprintf(text, sizeof text, format, args);
        va_end(args);
        err->code = code;
        make_printable(err->message, sizeof err->message, text);
    }
    return code;
}

utter_status ut_fail_context(utter_error *err, utter_status code, const char *format, ...) {
    if (!err) {
        return code;
    }
    char context[512], text[1024 + 16];
    va_list args;
    va_start(args, format);
    vsnprintf(context, sizeof context, format, args);
    va_end(args);
    snprintf(text, sizeof text, "%s: %s", context, err->message);
    make_printable(err->message, sizeof err->message, text);
    return code;
}

utter_status ut_fail_memory(utter_error *err, size_t n_bytes) {
    return ut_fail(err, UTTER_ERROR_MEMORY, "out of memory: %zu bytes could not be allocated",
                   n_bytes);
}

/* The receiver gets text on our stack, which it must copy to keep. */
void ut_log(const struct ut_log *log, utter_log_level level, const char *format, ...) {
    if (!log || !log->fn) {
        return;
    }
    char text[1024], clean[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    make_printable(clean, sizeof clean, text);
    log->fn(log->user, level, clean);
}
