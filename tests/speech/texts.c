/* Texts that nobody should send, to every family of voices: silence, sound or an error that says
 * where, never more memory than a short text needs. The longest run with UT_TEST_FULL=1. Rows T1
 * and T2 of the reliability rules. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "speech/talk.h"

static const char *const voices[] = {"piper/tiny.onnx", "house/tiny", "kokoro", "espeak"};
enum { N_VOICES = sizeof voices / sizeof *voices };

static bool full;

static utter_voice *open_named(utter_engine *engine, const char *name) {
    return open_voice(engine, strcmp(name, "espeak") ? data_path(name) : name);
}

static utter_status say(utter_stream *stream, const char *text, size_t n, struct heard *heard,
                        utter_error *err) {
    utter_speak_options options;
    utter_speak_options_init(&options);
    options.speed = 10;
    heard_init(heard, false);
    *err = (utter_error){UTTER_OK, ""};
    utter_status status = utter_stream_speak(stream, text, n, &options, hear, heard, NULL, err);
    assert_true(status == UTTER_OK || status == err->code);
    assert_true(heard->sound);
    return status;
}

#define TEXT(words) words, sizeof words - 1

static void odd(void **state) {
    static const struct {
        const char *words;
        size_t n;
        utter_status status;
        bool sounds;
        const char *message;
    } cases[] = {
        {TEXT(""), UTTER_OK, false, ""},
        {TEXT(" \n\t "), UTTER_OK, false, ""},
        {TEXT("...!?,;:"), UTTER_OK, false, ""},
        {TEXT("\xe2\x80\xa6\xe2\x80\xa6"), UTTER_OK, false, ""},
        {TEXT("\xe2\x80\x8b\xef\xbb\xbf\xc2\xad"), UTTER_OK, false, ""}, /* nothing that is seen */
        {TEXT("a"), UTTER_OK, true, ""},
        {TEXT("7"), UTTER_OK, true, ""},
        {TEXT("no end"), UTTER_OK, true, ""},
        {TEXT("Hi \xf0\x9f\x98\x80\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x9a\x80."), UTTER_OK, true,
         ""},
        {TEXT("\xd7\xa9\xd7\x9c\xd7\x95\xd7\x9d \xe2\x80\xae"
              "abc\xe2\x81\xa6"),
         UTTER_OK, true, ""},
        {TEXT("bad \xff utf-8"), UTTER_ERROR_ARGUMENT, false, "4"},
        {TEXT("cut \xe2\x82"), UTTER_ERROR_ARGUMENT, false, "4"},
        {TEXT("\xed\xa0\x80 surrogate"), UTTER_ERROR_ARGUMENT, false, "0"},
        {TEXT("\xc0\xaf overlong"), UTTER_ERROR_ARGUMENT, false, "0"},
        {TEXT("one\0two"), UTTER_ERROR_ARGUMENT, false, "3"},
        {TEXT("\0"), UTTER_ERROR_ARGUMENT, false, "0"},
        {TEXT("<speak>&lt;&#0;</voice>"), UTTER_OK, true, ""},
        {TEXT("[[]] [[ x"), UTTER_OK, true, ""},
        {TEXT("%s%n%d {0} $(x) ../../"), UTTER_OK, true, ""},
    };
    utter_engine *engine = open_engine(1, NULL);
    for (size_t v = 0; v < N_VOICES; v++) {
        utter_voice *voice = open_named(engine, voices[v]);
        utter_stream *stream = open_stream(voice);
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            struct heard heard;
            utter_error err;
            utter_status status = say(stream, cases[i].words, cases[i].n, &heard, &err);
            if (status != cases[i].status || (heard.n > 0) != cases[i].sounds ||
                !strstr(err.message, cases[i].message)) {
                fail_msg("%s, case %zu: status %d, %zu samples: %s", voices[v], i, status,
                         (size_t)heard.n, err.message);
            }
        }
        utter_stream_destroy(stream);
        utter_voice_close(voice);
    }
    utter_engine_destroy(engine);
}

/* ---- Long texts ----------------------------------------------------------------------------- */

/* Peak bytes of the engine and of the process after speaking. */
struct peak {
    uint64_t engine_bytes;
    long process_kb;
};

static struct peak peak_after(utter_engine *engine, utter_stream *stream, const char *text,
                              size_t n) {
    utter_memory memory = {.size = sizeof memory};
    struct heard heard;
    struct rusage usage;
    utter_error err;
    if (say(stream, text, n, &heard, &err) != UTTER_OK) {
        fail_msg("%zu bytes of %.8s: %s", n, text, err.message);
    }
    assert_true(heard.n > 0);
    utter_engine_memory(engine, &memory);
    assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
    return (struct peak){memory.peak_bytes, usage.ru_maxrss};
}

/* `pattern` again and again; the caller frees. */
static char *repeat(const char *pattern, size_t n) {
    size_t n_pattern = strlen(pattern);
    char *text = malloc(n + 1);
    assert_non_null(text);
    for (size_t i = 0; i < n; i++) {
        text[i] = pattern[i % n_pattern];
    }
    text[n] = '\0';
    return text;
}

struct long_text {
    const char *name, *pattern;
    size_t n, n_full;
};

/* What a kilobyte of a text needs is all that any length of it needs. */
static void check_long(const char *voice_name, const struct long_text *it) {
    enum { N_SHORT = 1000, MORE_BYTES = 4 << 20, MORE_KB = 32 << 10 };
    size_t n = full ? it->n_full : it->n;
    char *text = repeat(it->pattern, n);
    memcpy(text, "a ", 2); /* something to say, whatever follows */
    utter_engine *own = open_engine(1, NULL);
    utter_voice *voice = open_named(own, voice_name);
    utter_stream *stream = open_stream(voice);
    struct peak few = peak_after(own, stream, text, N_SHORT);
    struct peak many = peak_after(own, stream, text, n);
    if (many.engine_bytes > few.engine_bytes + MORE_BYTES) {
        fail_msg("%s, %s: %zu bytes for %d of text, %zu for %zu", voice_name, it->name,
                 (size_t)few.engine_bytes, N_SHORT, (size_t)many.engine_bytes, n);
    }
#ifndef __SANITIZE_ADDRESS__ /* which keeps freed blocks */
    if (many.process_kb > few.process_kb + MORE_KB) {
        fail_msg("%s, %s: the process grew from %ld to %ld kB", voice_name, it->name,
                 few.process_kb, many.process_kb);
    }
#endif
    utter_stream_destroy(stream);
    utter_voice_close(voice);
    utter_engine_destroy(own);
    free(text);
}

static void long_texts_in_bounded_memory(void **state) {
    static const struct long_text cases[] = {
        {"a word without an end", "abcdefghij", 3000, 100000},
        {"digits", "1234567890", 1500, 10000},
        {"combining marks", "\xcc\x81", 4000, 20000},
        {"prose", "Go on. It is one more day, and so on. ", 2000, 1 << 20},
        {"no end of a sentence", "go on and on ", 2000, 1 << 18},
        {"blanks", "                    \n", 20000, 1 << 20},
    };
    for (size_t v = 0; v < N_VOICES; v += full || v > 0 ? 1 : 2) { /* the house voice is a Piper */
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            check_long(voices[v], &cases[i]);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(odd),
        cmocka_unit_test(long_texts_in_bounded_memory),
    };
    full = full_run();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
