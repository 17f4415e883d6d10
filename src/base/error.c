/* Error messages: formatted, cut at a character boundary and made safe to print. */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const status_names[] = {
    "ok", "bad argument", "not found", "bad format", "not supported", "out of memory",
    "input/output error", "cancelled", "model failure", "busy", "internal error",
};

const char *utter_status_name(utter_status status) {
    int i = -(int)status;
    return i >= 0 && i < (int)(sizeof status_names / sizeof *status_names) ? status_names[i] : "unknown status";
}

/* Bytes of the valid UTF-8 character at s, 0 if there is none. */
static size_t char_length(const unsigned char *s) {
    size_t n = *s < 0x80 ? 1 : *s >= 0xC2 && *s < 0xE0 ? 2 : *s >= 0xE0 && *s < 0xF0 ? 3
             : *s >= 0xF0 && *s < 0xF5 ? 4 : 0;
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xC0) != 0x80) {
            return 0;
        }
    }
    return n;
}

/* Names in messages come from files and clients: a terminal must not obey them. */
static void make_printable(char *dst, size_t capacity, const char *src) {
    size_t used = 0;
    for (const unsigned char *s = (const unsigned char *)src; *s && used + 5 < capacity;) {
        size_t n = char_length(s);
        if (n == 0 || (n == 1 && (*s < 0x20 || *s == 0x7F)) || (n == 2 && *s == 0xC2 && s[1] < 0xA0)) {
            dst[used++] = '?';
            s += n ? n : 1;
        } else {
            memcpy(dst + used, s, n);
            used += n;
            s += n;
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
    return ut_fail(err, UTTER_ERROR_MEMORY, "out of memory: %zu bytes could not be allocated", n_bytes);
}

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
