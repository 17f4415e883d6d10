/* JSON (RFC 8259) out: a growing buffer and the escapes. What is written comes partly from model
 * files nobody has checked, so strings are made valid here. */
#include "base/json_writer.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/utf8.h"

void ut_json_put_init(struct ut_json_writer *writer, struct ut_mem *mem) {
    *writer = (struct ut_json_writer){.mem = mem};
}

/* One byte of capacity is always left for the NUL of ut_json_put_finish. */
static void put(struct ut_json_writer *writer, const char *text, size_t n) {
    size_t needed, capacity;
    if (writer->failed || !ut_add_size(writer->n, n, &needed)) {
        writer->failed = true;
        return;
    }
    if (needed >= writer->capacity) {
        char *grown = NULL;
        if (ut_mul_size(needed, 2, &capacity) && ut_add_size(capacity, 256, &capacity)) {
            grown = ut_mem_realloc(writer->mem, UT_MEM_OTHER, writer->text, capacity);
        }
        if (!grown) {
            writer->failed = true;
            return;
        }
        writer->text = grown;
        writer->capacity = capacity;
    }
    memcpy(writer->text + writer->n, text, n);
    writer->n = needed;
}

/* Bytes that are no UTF-8 become U+FFFD one by one. */
static void put_quoted(struct ut_json_writer *writer, const char *value) {
    put(writer, "\"", 1);
    size_t n_left = strlen(value), n;
    for (const char *s = value; n_left > 0; s += n, n_left -= n) {
        int32_t c = ut_utf8_decode(s, n_left, &n);
        char escape[8];
        if (c < 0) {
            put(writer, "\\ufffd", 6);
        } else if (c < 0x20 || c == 0x7F) {
            put(writer, escape, (size_t)snprintf(escape, sizeof escape, "\\u%04x", (unsigned)c));
        } else if (c == '"' || c == '\\') {
            escape[0] = '\\';
            escape[1] = *s;
            put(writer, escape, 2);
        } else {
            put(writer, s, n);
        }
    }
    put(writer, "\"", 1);
}

/* What stands before a value: a comma if it has a sibling, and its key. */
static void put_key(struct ut_json_writer *writer, const char *key) {
    if (writer->need_comma) {
        put(writer, ", ", 2);
    }
    if (key) {
        put_quoted(writer, key);
        put(writer, ": ", 2);
    }
    writer->need_comma = true;
}

static void put_begin(struct ut_json_writer *writer, const char *key, const char *bracket) {
    put_key(writer, key);
    put(writer, bracket, 1);
    writer->need_comma = false;
}

static void put_end(struct ut_json_writer *writer, const char *bracket) {
    put(writer, bracket, 1);
    writer->need_comma = true;
}

void ut_json_put_object(struct ut_json_writer *writer, const char *key) {
    put_begin(writer, key, "{");
}

void ut_json_put_array(struct ut_json_writer *writer, const char *key) {
    put_begin(writer, key, "[");
}

void ut_json_put_end_object(struct ut_json_writer *writer) {
    put_end(writer, "}");
}

void ut_json_put_end_array(struct ut_json_writer *writer) {
    put_end(writer, "]");
}

void ut_json_put_string(struct ut_json_writer *writer, const char *key, const char *value) {
    put_key(writer, key);
    if (value) {
        put_quoted(writer, value);
    } else {
        put(writer, "null", 4);
    }
}

void ut_json_put_uint(struct ut_json_writer *writer, const char *key, uint64_t value) {
    char digits[24];
    put_key(writer, key);
    put(writer, digits, (size_t)snprintf(digits, sizeof digits, "%llu", (unsigned long long)value));
}

void ut_json_put_double(struct ut_json_writer *writer, const char *key, double value) {
    char digits[32];
    put_key(writer, key);
    int n = isfinite(value) ? snprintf(digits, sizeof digits, "%.9g", value)
                            : snprintf(digits, sizeof digits, "null");
    for (int i = 0; i < n; i++) {
        /* printf uses the decimal point of the program's locale. */
        digits[i] = digits[i] == ',' ? '.' : digits[i];
    }
    put(writer, digits, (size_t)n);
}

void ut_json_put_bool(struct ut_json_writer *writer, const char *key, bool value) {
    put_key(writer, key);
    put(writer, value ? "true" : "false", value ? 4 : 5);
}

utter_status ut_json_put_finish(struct ut_json_writer *writer, char **out, utter_error *err) {
    size_t n = writer->n;
    put(writer, "", 1); /* the final NUL */
    bool failed = writer->failed;
    *out = failed ? NULL : writer->text;
    if (failed) {
        ut_mem_free(writer->mem, writer->text);
    }
    ut_json_put_init(writer, writer->mem);
    return failed ? ut_fail_memory(err, n) : UTTER_OK;
}
