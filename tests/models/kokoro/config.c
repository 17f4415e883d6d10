/* Kokoro's configuration: what is read, and a table of what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/checked.h"
#include "models/kokoro/config.h"
#include "support/byte_buffer.h"
#include "support/failing_allocator.h"

static struct ut_mem mem;

#define ISTFTNET                                                                                   \
    "\"istftnet\": {\"upsample_rates\": [10, 6], \"upsample_kernel_sizes\": [20, 12], "            \
    "\"gen_istft_n_fft\": 20, \"gen_istft_hop_size\": 5, \"resblock_kernel_sizes\": [3, 7], "      \
    "\"resblock_dilation_sizes\": [[1, 3, 5], [1, 2, 4]]}"
#define PLBERT "\"plbert\": {\"num_attention_heads\": 12, \"num_hidden_layers\": 9}"
#define VOCAB "\"vocab\": {\"b\": 44, \"a\": 43, \"\\u02c8\": 156}"
#define LEAST "{" ISTFTNET ", " PLBERT ", " VOCAB "}"

static void parse(const char *json, struct ut_kokoro_config *out) {
    utter_error err;
    if (ut_kokoro_config_parse(&mem, json, strlen(json), out, &err) != UTTER_OK) {
        fail_msg("%s: %s", json, err.message);
    }
}

static void least(void **state) {
    struct ut_kokoro_config c;
    parse(LEAST, &c);
    assert_int_equal(c.n_heads, 12);
    assert_int_equal(c.n_repeats, 9);
    assert_int_equal(c.n_upsamples, 2);
    assert_int_equal(c.upsample_rates[0], 10);
    assert_int_equal(c.upsample_rates[1], 6);
    assert_int_equal(c.n_fft, 20);
    assert_int_equal(c.hop, 5);
    assert_int_equal(c.n_kernels, 2);
    assert_int_equal(c.kernel_sizes[1], 7);
    assert_int_equal(c.n_dilations, 3);
    assert_int_equal(c.dilations[0][2], 5);
    assert_int_equal(c.dilations[1][2], 4);
    assert_int_equal(c.n_token, 0);
    assert_int_equal(c.hidden_dim, 0);
    assert_int_equal(c.style_dim, 0);
    assert_int_equal(c.n_layer, 0);
    assert_int_equal(c.max_dur, 0);
    assert_int_equal(c.max_positions, 0);
    assert_int_equal(c.n_symbols, 3);
    assert_int_equal(c.symbols[0].code_point, 'a');
    assert_int_equal(ut_kokoro_symbol_id(&c, 'a'), 43);
    assert_int_equal(ut_kokoro_symbol_id(&c, 'b'), 44);
    assert_int_equal(ut_kokoro_symbol_id(&c, 0x2c8), 156);
    assert_int_equal(ut_kokoro_symbol_id(&c, 'c'), -1);
    assert_int_equal(ut_kokoro_symbol_id(&c, 0), -1);
    assert_int_equal(ut_kokoro_symbol_id(&c, 0x10ffff), -1);
    ut_kokoro_config_free(&c);
    assert_null(c.symbols);
    ut_kokoro_config_free(&c);
}

static void read_data(const char *name, struct byte_buffer *out) {
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", getenv("UT_TEST_DATA"), name);
    byte_buffer_read_file(out, path);
}

static void fixture(void **state) {
    struct byte_buffer json = {0};
    struct ut_kokoro_config c;
    utter_error err;
    read_data("kokoro/config.json", &json);
    assert_int_equal(ut_kokoro_config_parse(&mem, (const char *)json.data, json.n, &c, &err),
                     UTTER_OK);
    assert_int_equal(c.n_heads, 4);
    assert_int_equal(c.n_repeats, 3);
    assert_int_equal(c.n_kernels, 3);
    assert_int_equal(c.kernel_sizes[2], 11);
    assert_int_equal(c.n_token, 178);
    assert_int_equal(c.hidden_dim, 32);
    assert_int_equal(c.style_dim, 32);
    assert_int_equal(c.n_layer, 3);
    assert_int_equal(c.max_dur, 50);
    assert_int_equal(c.max_positions, 128);
    assert_int_equal(c.n_symbols, 114);
    assert_int_equal(ut_kokoro_symbol_id(&c, ' '), 16);
    assert_int_equal(ut_kokoro_symbol_id(&c, '"'), 11);
    assert_int_equal(ut_kokoro_symbol_id(&c, 0x303), 17);   /* combining tilde */
    assert_int_equal(ut_kokoro_symbol_id(&c, 0x1d7b), 177); /* the last */
    ut_kokoro_config_free(&c);
    byte_buffer_free(&json);
}

#define BEHIND(istftnet) "{" PLBERT ", " VOCAB ", \"istftnet\": {" istftnet "}}"
#define FFT "\"gen_istft_n_fft\": 20, \"gen_istft_hop_size\": 5"
#define RATES "\"upsample_rates\": [10, 6], \"upsample_kernel_sizes\": [20, 12]"
#define KERNELS "\"resblock_kernel_sizes\": [3, 7]"
#define DILATIONS "\"resblock_dilation_sizes\": [[1, 3], [1, 2]]"
#define WITH(member) "{" member ", " ISTFTNET ", " PLBERT ", " VOCAB "}"

static const struct {
    const char *json, *message;
} refused[] = {
    {"", "expected a value at byte 0"},
    {"[]", "the configuration must be a JSON object"},
    {"{}", "\"plbert\" is missing"},
    {"{\"plbert\": null}", "\"plbert\" is missing"},
    {"{\"plbert\": 3}", "\"plbert\" must be an object"},
    {"{\"plbert\": {}}", "\"plbert.num_attention_heads\" is missing"},
    {"{\"plbert\": {\"num_attention_heads\": \"12\"}}",
     "\"plbert.num_attention_heads\" must be a number"},
    {"{\"plbert\": {\"num_attention_heads\": 0}}",
     "\"plbert.num_attention_heads\" must be an integer in 1..256"},
    {"{\"plbert\": {\"num_attention_heads\": 1.5}}",
     "\"plbert.num_attention_heads\" must be an integer in 1..256"},
    {"{\"plbert\": {\"num_attention_heads\": 12}}", "\"plbert.num_hidden_layers\" is missing"},
    {"{\"plbert\": {\"num_attention_heads\": 12, \"num_hidden_layers\": 65}}",
     "\"plbert.num_hidden_layers\" must be an integer in 1..64"},
    {"{" PLBERT "}", "\"istftnet\" is missing"},
    {BEHIND(""), "\"istftnet.gen_istft_n_fft\" is missing"},
    {BEHIND("\"gen_istft_n_fft\": 20"), "\"istftnet.gen_istft_hop_size\" is missing"},
    {BEHIND("\"gen_istft_n_fft\": 2048"),
     "\"istftnet.gen_istft_n_fft\" must be an integer in 2..1024"},
    {BEHIND(FFT), "\"istftnet.upsample_rates\" is missing"},
    {BEHIND(FFT ", \"upsample_rates\": 10"), "\"istftnet.upsample_rates\" must be a list"},
    {BEHIND(FFT ", \"upsample_rates\": []"),
     "\"istftnet.upsample_rates\" must be a list of 1 to 4 integers in 1..64"},
    {BEHIND(FFT ", \"upsample_rates\": [1, 2, 3, 4, 5]"),
     "\"istftnet.upsample_rates\" must be a list of 1 to 4 integers in 1..64"},
    {BEHIND(FFT ", \"upsample_rates\": [10, 65]"),
     "\"istftnet.upsample_rates\" must be a list of 1 to 4 integers in 1..64"},
    {BEHIND(FFT ", \"upsample_rates\": [\"10\", 6]"),
     "\"istftnet.upsample_rates\" must be a list of 1 to 4 integers in 1..64"},
    {BEHIND(FFT ", \"upsample_rates\": [10, 6]"), "\"istftnet.upsample_kernel_sizes\" is missing"},
    {BEHIND(FFT ", \"upsample_rates\": [10, 6], \"upsample_kernel_sizes\": [20]"),
     "\"istftnet.upsample_kernel_sizes\" has 1 entries, \"istftnet.upsample_rates\" has 2"},
    {BEHIND(FFT ", " RATES), "\"istftnet.resblock_kernel_sizes\" is missing"},
    {BEHIND(FFT ", " RATES ", " KERNELS), "\"istftnet.resblock_dilation_sizes\" is missing"},
    {BEHIND(FFT ", " RATES ", " KERNELS ", \"resblock_dilation_sizes\": [[1, 3]]"),
     "\"istftnet.resblock_dilation_sizes\" has 1 lists, \"istftnet.resblock_kernel_sizes\" has 2 "
     "entries"},
    {BEHIND(FFT ", " RATES ", " KERNELS ", \"resblock_dilation_sizes\": [[1, 3], 4]"),
     "\"istftnet.resblock_dilation_sizes\" must be a list of 1 to 4 integers in 1..64"},
    {BEHIND(FFT ", " RATES ", " KERNELS ", \"resblock_dilation_sizes\": [[1, 3], [1]]"),
     "\"istftnet.resblock_dilation_sizes\": list 2 has 1 entries, the first has 2"},
    {BEHIND(FFT ", " RATES ", \"resblock_kernel_sizes\": [3, 8], " DILATIONS),
     "kernel size 8 of the generator's resblocks is even"},
    {BEHIND("\"gen_istft_n_fft\": 21, \"gen_istft_hop_size\": 5, " RATES ", " KERNELS
            ", " DILATIONS),
     "the inverse STFT has a size of 21, expected an even one"},
    {BEHIND("\"gen_istft_n_fft\": 20, \"gen_istft_hop_size\": 21, " RATES ", " KERNELS
            ", " DILATIONS),
     "the inverse STFT has a hop of 21, more than its size of 20"},
    {"{" ISTFTNET ", " PLBERT "}", "\"vocab\" is missing"},
    {"{" ISTFTNET ", " PLBERT ", \"vocab\": []}", "\"vocab\" must be an object"},
    {"{" ISTFTNET ", " PLBERT ", \"vocab\": {}}", "\"vocab\" has 0 entries, expected 1 to 4096"},
    {"{" ISTFTNET ", " PLBERT ", \"vocab\": {\"ab\": 1}}",
     "\"vocab\": \"ab\" must be a single character"},
    {"{" ISTFTNET ", " PLBERT ", \"vocab\": {\"\": 1}}",
     "\"vocab\": \"\" must be a single character"},
    {"{" ISTFTNET ", " PLBERT ", \"vocab\": {\"a\": -1}}",
     "\"vocab\": \"a\" must be an integer in 0..4095"},
    {"{" ISTFTNET ", " PLBERT ", \"vocab\": {\"a\": \"1\"}}",
     "\"vocab\": \"a\" must be an integer in 0..4095"},
    {WITH("\"n_token\": 100"), "must be an integer in 0..99"},
    {WITH("\"n_token\": 4097"), "\"n_token\" must be an integer in 1..4096"},
    {WITH("\"hidden_dim\": 0"), "\"hidden_dim\" must be an integer in 1..65536"},
    {WITH("\"style_dim\": -3"), "\"style_dim\" must be an integer in 1..65536"},
    {WITH("\"n_layer\": 99999999999999999999"), "\"n_layer\" must be an integer in 1..64"},
    {WITH("\"max_dur\": true"), "\"max_dur\" must be a number"},
};

static void what_is_refused(void **state) {
    for (size_t i = 0; i < UT_COUNT(refused); i++) {
        struct ut_kokoro_config c;
        utter_error err;
        const char *json = refused[i].json;
        assert_int_equal(ut_kokoro_config_parse(&mem, json, strlen(json), &c, &err),
                         UTTER_ERROR_FORMAT);
        if (!strstr(err.message, refused[i].message)) {
            fail_msg("%s: \"%s\" does not say \"%s\"", json, err.message, refused[i].message);
        }
        assert_null(c.symbols);
    }
}

static void vocabulary_too_large(void **state) {
    struct byte_buffer json = {0};
    struct ut_kokoro_config c;
    utter_error err;
    byte_buffer_printf(&json, "{" ISTFTNET ", " PLBERT ", \"vocab\": {\"a\": 0");
    for (int i = 0; i < KOKORO_MAX_TOKENS; i++) {
        byte_buffer_printf(&json, ", \"\\u%04x\": 1", 0x1000 + i);
    }
    byte_buffer_printf(&json, "}}");
    assert_int_equal(ut_kokoro_config_parse(&mem, (const char *)json.data, json.n, &c, &err),
                     UTTER_ERROR_FORMAT);
    assert_string_equal(err.message, "\"vocab\" has 4097 entries, expected 1 to 4096");
    byte_buffer_free(&json);
}

static void unknown_and_null_members(void **state) {
    struct ut_kokoro_config c;
    parse(WITH("\"n_mels\": \"any\", \"n_token\": null, \"new\": [1, {}]"), &c);
    assert_int_equal(c.n_token, 0);
    ut_kokoro_config_free(&c);
}

static void out_of_memory(void **state) {
    struct failing_allocator failing;
    utter_allocator allocator = failing_allocator_start(&failing);
    struct ut_mem weak;
    ut_mem_init(&weak, &allocator);
    size_t n = 0;
    for (utter_status status = UTTER_ERROR_MEMORY; status != UTTER_OK;) {
        struct ut_kokoro_config c;
        utter_error err;
        failing_allocator_reset(&failing, ++n, false);
        status = ut_kokoro_config_parse(&weak, LEAST, strlen(LEAST), &c, &err);
        if (status == UTTER_OK) {
            ut_kokoro_config_free(&c);
        } else {
            assert_int_equal(status, UTTER_ERROR_MEMORY);
        }
        assert_int_equal(failing.n_blocks, 0);
        assert_false(failing.wrong_size);
    }
    assert_true(n > 3);
}

int main(void) {
    ut_mem_init(&mem, NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(least),
        cmocka_unit_test(fixture),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(vocabulary_too_large),
        cmocka_unit_test(unknown_and_null_members),
        cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
