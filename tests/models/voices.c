/* Whole voices with random weights, from bytes to samples: every published quality, both decoders,
 * the house voice, every way an exporter names things, speakers, storage types. Values are checked
 * against recorded ones elsewhere (trace.c); here it is structure, levels and equality that count.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/checked.h"
#include "support/speak.h"
#include "support/voice_builder.h"

static struct ut_mem mem;
static struct ut_compute compute;

static int setup(void **state) {
    ut_mem_init(&mem, NULL);
    return speak_compute_open(&mem, ut_cpu_level_best(), 2, &compute, NULL);
}

/* Leaks show as bytes that are still counted. */
static int teardown(void **state) {
    speak_compute_close(&compute);
    for (int i = 0; i < UT_MEM_N_OWNERS; i++) {
        if (atomic_load(&mem.bytes[i]) != 0) {
            return -1;
        }
    }
    return 0;
}

static void write_model(const struct voice *voice, const struct voice_export *options,
                        struct byte_buffer *out) {
    if (voice->spec.house) {
        voice_write_safetensors(voice, options && options->half, out);
    } else {
        voice_write_onnx(voice, options, out);
    }
}

/* `speech` is zeroed but for what the caller sets. */
static void speak_voice(const struct voice *voice, const struct voice_export *options, int speaker,
                        struct speech *speech) {
    struct byte_buffer model = {0}, json = {0};
    struct ut_piper_request request = speak_request();
    request.speaker = speaker;
    write_model(voice, options, &model);
    voice_write_json(voice, &json);
    speak(&mem, &compute, &model, &json, &request, speech);
    if (speech->step > SPEAK_LOAD) {
        assert_int_equal(speech->info.file_bytes, model.n);
    }
    byte_buffer_free(&model);
    byte_buffer_free(&json);
}

/* Finite, in range, neither silent nor saturated, and as long as the frames say. */
static void check_speech(const struct voice_spec *spec, const struct speech *speech) {
    if (speech->status != UTTER_OK) {
        fail_msg("%s: step %d: %s", spec->quality, speech->step, speech->err.message);
    }
    int hop = voice_spec_hop(spec);
    assert_int_equal(speech->info.hop_length, hop);
    assert_int_equal(speech->result.n_samples, speech->n_samples);
    assert_int_equal(speech->n_samples, (size_t)speech->result.n_frames * (size_t)hop);
    assert_int_equal(speech->result.n_skipped_ids, 0);
    assert_in_range(speech->result.n_frames, 13, 13 * 20); /* at least one a phoneme */
    assert_true(speech_is_sound(speech));
    double rms = speech_rms(speech);
    if (!(rms > 0.003 && rms < 0.7)) {
        fail_msg("%s: RMS %g", spec->quality, rms);
    }
}

static void check_info(const struct voice *voice, const struct ut_piper_info *info,
                       enum ut_dtype type) {
    const struct voice_spec *s = &voice->spec;
    assert_int_equal(info->sample_rate_hz, s->sample_rate_hz);
    assert_int_equal(info->n_speakers, s->n_speakers);
    assert_int_equal(info->n_vocab, s->n_vocab);
    assert_int_equal(info->n_hidden, s->n_hidden);
    assert_int_equal(info->n_inter, s->n_inter);
    assert_int_equal(info->n_layers, s->n_layers);
    assert_int_equal(info->n_heads, s->n_heads);
    assert_int_equal(info->n_stages, s->n_stages);
    assert_int_equal(info->n_resblocks, s->n_kernels);
    assert_int_equal(info->resblock1, s->resblock1);
    assert_int_equal(info->stochastic_durations, !s->house);
    assert_int_equal(info->n_parameters, voice_n_parameters(voice));
    assert_int_equal(info->format, s->house ? UT_FORMAT_SAFETENSORS : UT_FORMAT_ONNX);
    assert_int_equal(info->weight_type, type);
}

static void check_voice(struct voice_spec spec, const struct voice_export *options) {
    struct voice voice;
    struct speech speech = {0};
    voice_build(&voice, &spec, 1);
    speak_voice(&voice, options, spec.n_speakers - 1, &speech);
    check_speech(&spec, &speech);
    check_info(&voice, &speech.info, options && options->half ? UT_F16 : UT_F32);
    speech_free(&speech);
    voice_free(&voice);
}

static void x_low(void **state) {
    check_voice(voice_spec_quality("x_low"), NULL);
}

static void low(void **state) {
    check_voice(voice_spec_quality("low"), NULL);
}

static void medium(void **state) {
    check_voice(voice_spec_quality("medium"), NULL);
}

static void medium_with_speakers(void **state) {
    check_voice(voice_spec_quality("medium_multi"), NULL);
}

static void high(void **state) {
    check_voice(voice_spec_quality("high"), NULL);
}

static void tiny_voices(void **state) {
    check_voice(voice_spec_tiny(), NULL);
    check_voice(voice_spec_tiny_multi(), NULL);
}

static void house_voices(void **state) {
    static const struct voice_export half = {.half = true};
    check_voice(voice_spec_house(true), NULL);
    check_voice(voice_spec_house(true), &half);
    check_voice(voice_spec_house(false), &half);
}

/* 130 symbols in the oldest voices; layers, rates and kernels that no published voice has. */
static void unusual_sizes(void **state) {
    struct voice_spec spec = voice_spec_tiny();
    spec.n_vocab = 130;
    spec.n_layers = 3;
    spec.n_heads = 1;
    spec.n_wn_layers = 3;
    check_voice(spec, NULL);
    spec = voice_spec_tiny();
    spec.n_hidden = 10;
    spec.n_inter = 6;
    spec.n_decoder = 20;
    spec.n_stages = 2;
    spec.rates[0] = 3;
    spec.up_kernels[0] = 9;
    spec.rates[1] = 5;
    spec.up_kernels[1] = 5;
    spec.n_kernels = 2;
    spec.kernels[1] = 9;
    spec.dilations[1][0] = 4;
    check_voice(spec, NULL);
}

/* ---- The same voice written in other ways ------------------------------------------------- */

static void check_variants(struct voice_spec spec, const struct voice_export *variants, size_t n) {
    struct voice voice;
    struct speech plain = {0}, other = {0};
    voice_build(&voice, &spec, 3);
    speak_voice(&voice, NULL, 0, &plain);
    check_speech(&spec, &plain);
    for (size_t i = 0; i < n; i++) {
        speak_voice(&voice, &variants[i], 0, &other);
        if (!speech_equal(&plain, &other)) {
            fail_msg("variant %zu (%s) differs: %s", i, spec.n_gin ? "multi-speaker" : "single",
                     other.status ? other.err.message : "samples");
        }
        assert_int_equal(other.info.n_parameters, plain.info.n_parameters);
        speech_free(&other);
    }
    speech_free(&plain);
    voice_free(&voice);
}

static void naming_does_not_change_the_audio(void **state) {
    static const struct voice_export variants[] = {
        {.logs = VOICE_LOGS_FACTOR}, {.logs = VOICE_LOGS_CONSTANT}, {.no_node_names = true},
        {.plain_embedding = true},   {.float_data = true},          {.first_number = 5611},
    };
    check_variants(voice_spec_tiny(), variants, UT_COUNT(variants));
    check_variants(voice_spec_tiny_multi(), variants, UT_COUNT(variants));
}

/* Half-precision files against f32 files with the same rounded values. */
static void half_precision_files(void **state) {
    static const struct voice_export half = {.half = true};
    struct voice_spec specs[] = {voice_spec_tiny(), voice_spec_tiny_multi(),
                                 voice_spec_house(true)};
    for (size_t i = 0; i < UT_COUNT(specs); i++) {
        struct voice voice;
        struct speech a = {0}, b = {0};
        voice_build(&voice, &specs[i], 4);
        for (size_t t = 0; t < voice.n_tensors; t++) {
            for (size_t e = 0; e < voice.tensors[t].n; e++) { /* numbers that a half holds */
                voice.tensors[t].data[e] = rintf(voice.tensors[t].data[e] * 256.0f) / 256.0f;
            }
        }
        speak_voice(&voice, NULL, 0, &a);
        speak_voice(&voice, &half, 0, &b);
        check_speech(&specs[i], &a);
        if (!speech_equal(&a, &b)) {
            fail_msg("voice %zu: %s", i, b.status ? b.err.message : "samples differ");
        }
        assert_int_equal(b.info.weight_type, UT_F16);
        speech_free(&a);
        speech_free(&b);
        voice_free(&voice);
    }
}

/* ---- Speakers and seeds ------------------------------------------------------------------- */

static void speakers_differ(void **state) {
    struct voice_spec spec = voice_spec_tiny_multi();
    struct voice voice;
    struct speech said[3] = {0};
    voice_build(&voice, &spec, 5);
    for (int i = 0; i < 3; i++) {
        speak_voice(&voice, NULL, i, &said[i]);
        check_speech(&spec, &said[i]);
    }
    assert_false(speech_equal(&said[0], &said[1]));
    assert_false(speech_equal(&said[1], &said[2]));
    assert_false(speech_equal(&said[0], &said[2]));
    for (int i = 0; i < 3; i++) {
        speech_free(&said[i]);
    }
    static const int wrong[] = {-1, 3, 1 << 30};
    for (size_t i = 0; i < UT_COUNT(wrong); i++) {
        speak_voice(&voice, NULL, wrong[i], &said[0]);
        assert_int_equal(said[0].step, SPEAK_RUN);
        assert_int_equal(said[0].status, UTTER_ERROR_ARGUMENT);
        speech_free(&said[0]);
    }
    voice_free(&voice);
}

/* Doubling any one tensor must show in some stage: this notices a weight that is bound to nothing.
 */
static void check_tensor_counts(struct voice *voice, struct voice_tensor *tensor,
                                uint64_t plain_hash) {
    struct speech changed = {.hash_stages = true};
    for (size_t e = 0; e < tensor->n; e++) {
        tensor->data[e] *= 2;
    }
    speak_voice(voice, NULL, 0, &changed);
    if (changed.status != UTTER_OK || changed.stage_hash == plain_hash) {
        fail_msg("doubling %s: %s", tensor->name,
                 changed.status ? changed.err.message : "no difference");
    }
    for (size_t e = 0; e < tensor->n; e++) {
        tensor->data[e] /= 2;
    }
    speech_free(&changed);
}

static void every_tensor_counts(void **state) {
    struct voice_spec specs[] = {voice_spec_tiny(), voice_spec_tiny_multi(),
                                 voice_spec_house(true)};
    for (size_t i = 0; i < UT_COUNT(specs); i++) {
        struct voice voice;
        struct speech plain = {.hash_stages = true};
        voice_build(&voice, &specs[i], 6);
        speak_voice(&voice, NULL, 0, &plain);
        check_speech(&specs[i], &plain);
        for (size_t t = 0; t < voice.n_tensors; t++) {
            /* A bias of the keys adds the same to every score of a row: softmax takes it away. */
            if (!strstr(voice.tensors[t].name, ".conv_k.bias")) {
                check_tensor_counts(&voice, &voice.tensors[t], plain.stage_hash);
            }
        }
        speech_free(&plain);
        voice_free(&voice);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tiny_voices),
        cmocka_unit_test(house_voices),
        cmocka_unit_test(unusual_sizes),
        cmocka_unit_test(x_low),
        cmocka_unit_test(low),
        cmocka_unit_test(medium),
        cmocka_unit_test(medium_with_speakers),
        cmocka_unit_test(high),
        cmocka_unit_test(naming_does_not_change_the_audio),
        cmocka_unit_test(half_precision_files),
        cmocka_unit_test(speakers_differ),
        cmocka_unit_test(every_tensor_counts),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
