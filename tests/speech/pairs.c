/* All pairs of odd values over the fields of every settings struct: each is refused with a message
 * that names the field, or has a defined result; two at once are refused for one of their reasons,
 * or do what each does alone. Row T4 of the reliability rules. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "speech/talk.h"

enum { N_LONG = 100000, MAX_ODD = 64, MAX_STRUCT = 256 };

/* One odd value of one field. */
struct odd {
    const char *field;
    size_t offset, n_bytes;
    union {
        int32_t i32;
        float f32;
        bool flag;
        size_t size;
        uint64_t u64;
        const void *pointer;
    } value;
    const char *words; /* in the refusal; NULL: it is taken */
    char message[sizeof(((utter_error *)0)->message)];
};

/* What is tried: a settings struct with its defaults, and what is done with it. */
struct subject {
    struct odd odd[MAX_ODD];
    size_t n_odd;
    _Alignas(max_align_t) char defaults[MAX_STRUCT];
    size_t n_bytes;
    utter_status (*attempt)(const void *options, utter_error *err);
};

static char long_name[N_LONG + 1];
static utter_engine *engine;
static utter_stream *stream;
static size_t n_attempts;

static int setup(void **state) {
    memset(long_name, 'a', N_LONG);
    engine = open_engine(1, NULL);
    return 0;
}

static int teardown(void **state) {
    utter_engine_destroy(engine);
    printf("%zu combinations of settings\n", n_attempts);
    return 0;
}

/* ---- The pairs ------------------------------------------------------------------------------ */

static struct odd *add(struct subject *subject, const char *field, size_t offset, size_t n_bytes,
                       const char *words) {
    struct odd *odd = &subject->odd[subject->n_odd++];
    assert_true(subject->n_odd <= MAX_ODD);
    *odd = (struct odd){.field = field, .offset = offset, .n_bytes = n_bytes, .words = words};
    return odd;
}

#define ADD(subject, type, name, member, x, words)                                                 \
    (add(subject, #name, offsetof(type, name), sizeof((type){0}.name), words)->value.member = (x))

static utter_status attempt(struct subject *subject, const struct odd *a, const struct odd *b,
                            utter_error *err) {
    _Alignas(max_align_t) char options[MAX_STRUCT];
    memcpy(options, subject->defaults, subject->n_bytes);
    memcpy(options + a->offset, &a->value, a->n_bytes);
    memcpy(options + b->offset, &b->value, b->n_bytes);
    *err = (utter_error){UTTER_OK, ""};
    utter_status status = subject->attempt(options, err);
    assert_true(status == UTTER_OK || status == err->code);
    n_attempts++;
    return status;
}

static void try_alone(struct subject *subject) {
    for (size_t i = 0; i < subject->n_odd; i++) {
        struct odd *odd = &subject->odd[i];
        utter_error err;
        utter_status status = attempt(subject, odd, odd, &err);
        bool refused = status == UTTER_ERROR_ARGUMENT || status == UTTER_ERROR_NOT_FOUND ||
                       status == UTTER_ERROR_UNSUPPORTED;
        if (odd->words ? !refused || !strstr(err.message, odd->words) : status != UTTER_OK) {
            fail_msg("%s, value %zu: status %d: %s", odd->field, i, status, err.message);
        }
        memcpy(odd->message, err.message, sizeof odd->message);
    }
}

static void try_pairs(struct subject *subject) {
    try_alone(subject);
    for (size_t i = 0; i < subject->n_odd; i++) {
        for (size_t j = 0; j < i; j++) {
            const struct odd *a = &subject->odd[i], *b = &subject->odd[j];
            utter_error err;
            if (a->offset == b->offset) {
                continue;
            }
            utter_status status = attempt(subject, a, b, &err);
            bool as_a = a->words && strcmp(err.message, a->message) == 0;
            bool as_b = b->words && strcmp(err.message, b->message) == 0;
            if (a->words || b->words ? !as_a && !as_b : status != UTTER_OK) {
                fail_msg("%s, value %zu, and %s, value %zu: status %d: %s", a->field, i, b->field,
                         j, status, err.message);
            }
        }
    }
}

static void add_sizes(struct subject *subject) {
    static const size_t sizes[] = {0, 7, 1000000000, SIZE_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        add(subject, "size", 0, sizeof(size_t), "size")->value.size = sizes[i];
    }
}

/* ---- Speaking ------------------------------------------------------------------------------- */

static utter_status speak(const void *options, utter_error *err) {
    struct heard heard;
    heard_init(&heard, false);
    utter_status status = utter_stream_speak(stream, "Go.", 3, options, hear, &heard, NULL, err);
    assert_true(heard.sound && (heard.n > 0) == (status == UTTER_OK));
    return status;
}

static void add_floats(struct subject *subject, const char *field, size_t offset, bool zero,
                       bool nan) {
    const float values[] = {0, -1, 1e9f, NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        bool taken = (i == 0 && zero) || (i == 3 && nan);
        add(subject, field, offset, sizeof(float), taken ? NULL : field)->value.f32 = values[i];
    }
}

#define ADD_SPEAK(member, name, x, words) ADD(&subject, utter_speak_options, name, member, x, words)

/* `voice_words`, `language_words`: what refuses any name. */
static void speak_pairs(const char *path, const char *voice_words, const char *language_words) {
    static const char *const names[] = {"", "xx-none", "../../x", "%s%n\n"};
    static struct subject subject;
    utter_voice *voice = open_voice(engine, path);
    subject = (struct subject){.n_bytes = sizeof(utter_speak_options), .attempt = speak};
    utter_speak_options_init((utter_speak_options *)subject.defaults);
    add_sizes(&subject);
    ADD_SPEAK(i32, speaker, 0, NULL);
    ADD_SPEAK(i32, speaker, 1000000000, "speaker");
    ADD_SPEAK(i32, speaker, INT32_MIN, "speaker");
    add_floats(&subject, "speed", offsetof(utter_speak_options, speed), false, false);
    add_floats(&subject, "noise_scale", offsetof(utter_speak_options, noise_scale), true, true);
    add_floats(&subject, "noise_w", offsetof(utter_speak_options, noise_w), true, true);
    add_floats(&subject, "volume", offsetof(utter_speak_options, volume), true, false);
    add_floats(&subject, "sentence_silence_s", offsetof(utter_speak_options, sentence_silence_s),
               true, true);
    ADD_SPEAK(flag, normalize, true, NULL);
    ADD_SPEAK(u64, seed, UINT64_MAX, NULL);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        ADD_SPEAK(pointer, language, names[i], language_words);
        ADD_SPEAK(pointer, voice, names[i], voice_words);
    }
    ADD_SPEAK(pointer, language, long_name, language_words);
    ADD_SPEAK(pointer, voice, long_name, voice_words);
    stream = open_stream(voice);
    try_pairs(&subject);
    utter_stream_destroy(stream);
    utter_voice_close(voice);
}

static void piper(void **state) {
    speak_pairs(data_path("piper/tiny_multi.onnx"), "speaker", "voice");
}

static void kokoro(void **state) {
    speak_pairs(data_path("kokoro"), "voice", "language");
}

static void espeak(void **state) {
    speak_pairs("espeak", "speaker", "voice");
}

/* ---- Opening -------------------------------------------------------------------------------- */

static utter_status open_tiny(const void *options, utter_error *err) {
    utter_voice *voice;
    utter_status status =
        utter_voice_open(engine, data_path("piper/tiny.onnx"), options, &voice, err);
    assert_true((voice != NULL) == (status == UTTER_OK));
    utter_voice_close(voice);
    return status;
}

static void voice_options(void **state) {
    static const int32_t values[] = {-1, UTTER_BACKEND_ONNX + 1, 1000000000, INT32_MIN};
    struct subject subject = {.n_bytes = sizeof(utter_voice_options), .attempt = open_tiny};
    utter_voice_options_init((utter_voice_options *)subject.defaults);
    add_sizes(&subject);
    for (size_t i = 0; i < 4; i++) {
        ADD(&subject, utter_voice_options, backend, i32, values[i], "backend");
    }
    ADD(&subject, utter_voice_options, backend, i32, UTTER_BACKEND_ESPEAK, NULL);
    ADD(&subject, utter_voice_options, preferred, i32, UTTER_BACKEND_ESPEAK, "preferred");
    ADD(&subject, utter_voice_options, preferred, i32, UTTER_BACKEND_ONNX + 1, "preferred");
    ADD(&subject, utter_voice_options, preferred, i32, INT32_MIN, "preferred");
    ADD(&subject, utter_voice_options, preferred, i32, UTTER_BACKEND_NATIVE, NULL);
    ADD(&subject, utter_voice_options, coreml_path, pointer, "", NULL);
    ADD(&subject, utter_voice_options, coreml_path, pointer, "/nonexistent", NULL);
    ADD(&subject, utter_voice_options, no_fallback, flag, true, NULL);
    ADD(&subject, utter_voice_options, provider, pointer, "npu", "provider");
    ADD(&subject, utter_voice_options, provider, pointer, "", "provider");
    ADD(&subject, utter_voice_options, provider, pointer, "cpu", NULL);
    try_pairs(&subject);
}

static utter_status create(const void *options, utter_error *err) {
    utter_engine *other;
    utter_status status = utter_engine_create(options, &other, err);
    assert_true((other != NULL) == (status == UTTER_OK));
    utter_engine_destroy(other);
    return status;
}

static void engine_options(void **state) {
    static const int32_t n_threads[] = {-1, 257, 1000000000, INT32_MIN};
    static const char *const cpus[] = {"", "AVX2", "mmx", "auto ", long_name};
    static const utter_allocator none = {0};
    struct subject subject = {.n_bytes = sizeof(utter_engine_options), .attempt = create};
    utter_engine_options_init((utter_engine_options *)subject.defaults);
    add_sizes(&subject);
    for (size_t i = 0; i < 4; i++) {
        ADD(&subject, utter_engine_options, n_threads, i32, n_threads[i], "n_threads");
    }
    for (size_t i = 0; i < 5; i++) {
        ADD(&subject, utter_engine_options, cpu, pointer, cpus[i], "cpu");
    }
    ADD(&subject, utter_engine_options, cpu, pointer, "scalar", NULL);
    ADD(&subject, utter_engine_options, log_user, pointer, long_name, NULL);
    ADD(&subject, utter_engine_options, allocator, pointer, &none, "allocator");
    try_pairs(&subject);
}

/* ---- Importing ------------------------------------------------------------------------------ */

static char out_path[] = "/tmp/utter-test-XXXXXX.gguf";

static utter_status import_kokoro(const void *options, utter_error *err) {
    utter_status status = utter_import(engine, data_path("kokoro"), out_path, options, NULL, err);
    assert_int_equal(unlink(out_path) == 0, status == UTTER_OK);
    return status;
}

static void import_options(void **state) {
    static const char *const types[] = {"", "F32", "f64", "q4_0", "../f32", long_name};
    static const char *const voices[] = {"", ",", "zz*", "af_synth,", "../*", long_name};
    struct subject subject = {.n_bytes = sizeof(utter_import_options), .attempt = import_kokoro};
    int fd = mkstemps(out_path, 5);
    assert_true(fd >= 0 && close(fd) == 0 && unlink(out_path) == 0);
    utter_import_options_init((utter_import_options *)subject.defaults);
    add_sizes(&subject);
    for (size_t i = 0; i < 6; i++) {
        ADD(&subject, utter_import_options, type, pointer, types[i], "type");
        ADD(&subject, utter_import_options, voices, pointer, voices[i], "voice");
    }
    ADD(&subject, utter_import_options, type, pointer, "f16", NULL);
    ADD(&subject, utter_import_options, voices, pointer, "*", NULL);
    try_pairs(&subject);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(piper),          cmocka_unit_test(kokoro),
        cmocka_unit_test(espeak),         cmocka_unit_test(voice_options),
        cmocka_unit_test(engine_options), cmocka_unit_test(import_options),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
