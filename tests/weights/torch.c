/* torch.save files: those that torch wrote, and containers that are broken in one place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/sweep.h"
#include "support/torch_writer.h"
#include "weights_check.h"

static struct ut_mem mem;

static int setup(void **state) {
    ut_mem_init(&mem, NULL);
    return 0;
}

static int teardown(void **state) {
    return atomic_load(&mem.bytes[UT_MEM_WEIGHTS]) + atomic_load(&mem.bytes[UT_MEM_OTHER]) != 0;
}

/* ---- Files by torch ------------------------------------------------------------------------- */

static const char *data_path(const char *name) {
    static char path[500];
    snprintf(path, sizeof path, "%s/%s", getenv("UT_TEST_DATA"), name);
    return path;
}

static struct ut_weights *open_data(const char *name, enum ut_format format) {
    struct ut_weights *weights;
    utter_error err;
    if (ut_weights_open(&mem, data_path(name), &weights, &err)) {
        fail_msg("%s", err.message);
    }
    assert_int_equal(ut_weights_format(weights), format);
    assert_null(ut_weights_onnx(weights));
    assert_int_equal(ut_weights_n_metadata(weights), 0);
    use_weights(weights);
    return weights;
}

static const struct ut_tensor *find(const struct ut_weights *weights, const char *name,
                                    enum ut_dtype type, const uint64_t dims[UT_MAX_DIMS]) {
    const struct ut_tensor *tensor = ut_weights_find(weights, name);
    if (!tensor) {
        fail_msg("no tensor \"%s\"", name);
    }
    assert_int_equal(tensor->type, type);
    assert_memory_equal(tensor->dims, dims, sizeof tensor->dims);
    return tensor;
}

static float float_at(const struct ut_tensor *tensor, size_t i) {
    float value;
    memcpy(&value, (const char *)tensor->data + 4 * i, sizeof value);
    return value;
}

static void test_kokoro(void **state) {
    struct ut_weights *weights = open_data("kokoro/kokoro-v1_0.pth", UT_FORMAT_TORCH_ZIP);
    assert_int_equal(ut_weights_count(weights), 549);
    assert_string_equal(ut_weights_at(weights, 0)->name, "bert/module.embeddings.position_ids");
    find(weights, "bert/module.embeddings.position_ids", UT_I64, (uint64_t[]){1, 128, 1, 1});
    find(weights, "bert/module.embeddings.word_embeddings.weight", UT_F32,
         (uint64_t[]){178, 128, 1, 1});
    find(weights, "bert_encoder/module.bias", UT_F32, (uint64_t[]){32, 1, 1, 1});
    find(weights, "predictor/module.N_proj.bias", UT_F32, (uint64_t[]){1, 1, 1, 1});
    find(weights, "decoder/module.F0_conv.weight_g", UT_F32, (uint64_t[]){1, 1, 1, 1});
    find(weights, "text_encoder/module.lstm.bias_hh_l0_reverse", UT_F32, (uint64_t[]){64, 1, 1, 1});
    find(weights, "decoder/module.generator.conv_post.weight_v", UT_F32, (uint64_t[]){22, 8, 7, 1});
    const struct ut_tensor *v =
        find(weights, "decoder/module.encode.conv1.weight_v", UT_F32, (uint64_t[]){48, 34, 3, 1});
    assert_float_equal(float_at(v, 0), 0.020391719415783882f, 0);
    assert_float_equal(float_at(v, 1), 0.1245698556303978f, 0);
    assert_float_equal(float_at(v, 48 * 34 * 3 - 1), -0.007299107499420643f, 0);
    ut_weights_close(weights);
}

static void test_voice(void **state) {
    struct ut_weights *weights = open_data("kokoro/voices/af_synth.pt", UT_FORMAT_TORCH_ZIP);
    assert_int_equal(ut_weights_count(weights), 1);
    const struct ut_tensor *voice = find(weights, "", UT_F32, (uint64_t[]){510, 1, 64, 1});
    assert_float_equal(float_at(voice, 0), 0.2586389183998108f, 0);
    assert_float_equal(float_at(voice, 510 * 64 - 1), -0.6858636140823364f, 0);
    ut_weights_close(weights);
}

/* The same dictionary in both formats: every type, every kind of view, and what is not a tensor. */
static const struct {
    const char *name;
    enum ut_dtype type;
    uint64_t dims[UT_MAX_DIMS];
    const char *bytes; /* or: */
    float floats[8];
} variants[] = {
    {"state_dict/plain", UT_F32, {2, 3, 1, 1}, NULL, {1, 2, 3, 4, 5, 6}},
    {"state_dict/transposed", UT_F32, {3, 2, 1, 1}, NULL, {1, 4, 2, 5, 3, 6}},
    {"state_dict/sliced", UT_F32, {2, 2, 1, 1}, NULL, {5, 7, 9, 11}},
    {"state_dict/expanded", UT_F32, {3, 2, 1, 1}, NULL, {1, 1, 2, 2, 3, 3}},
    {"state_dict/tied_a", UT_F32, {8, 1, 1, 1}, NULL, {0, 1, 2, 3, 4, 5, 6, 7}},
    {"state_dict/tied_b", UT_F32, {8, 1, 1, 1}, NULL, {0, 1, 2, 3, 4, 5, 6, 7}},
    {"state_dict/tied_tail", UT_F32, {3, 1, 1, 1}, NULL, {5, 6, 7}},
    {"state_dict/f16", UT_F16, {2, 1, 1, 1}, "\0\x3C\0\xC1", {0}},
    {"state_dict/bf16", UT_BF16, {2, 1, 1, 1}, "\x80\x3F\x20\xC0", {0}},
    {"state_dict/f64", UT_F64, {1, 1, 1, 1}, "\0\0\0\0\0\0\xF8\x3F", {0}},
    {"state_dict/i64", UT_I64, {1, 1, 1, 1}, "\xF9\xFF\xFF\xFF\xFF\xFF\xFF\xFF", {0}},
    {"state_dict/i32", UT_I32, {2, 1, 1, 1}, "\1\0\0\0\xFF\xFF\xFF\xFF", {0}},
    {"state_dict/i16", UT_I16, {1, 1, 1, 1}, "\xFE\xFF", {0}},
    {"state_dict/i8", UT_I8, {1, 1, 1, 1}, "\xFD", {0}},
    {"state_dict/u8", UT_U8, {1, 1, 1, 1}, "\xFF", {0}},
    {"state_dict/bool", UT_BOOL, {2, 1, 1, 1}, "\1\0", {0}},
    {"state_dict/empty", UT_F32, {0, 3, 1, 1}, "", {0}},
    {"state_dict/empty_slice", UT_F32, {0, 3, 1, 1}, "", {0}},
    {"state_dict/parameter", UT_F32, {2, 1, 1, 1}, NULL, {0.25f, 0.5f}},
    {"optimizer/state/0/exp_avg", UT_F32, {2, 1, 1, 1}, NULL, {1, 1}},
    {"list/0", UT_F32, {1, 1, 1, 1}, NULL, {4}},
    {"list/1/0", UT_F32, {1, 1, 1, 1}, NULL, {5}},
};

static void check_variants(const char *file, enum ut_format format) {
    struct ut_weights *weights = open_data(file, format);
    assert_int_equal(ut_weights_count(weights), sizeof variants / sizeof *variants);
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) {
        const struct ut_tensor *tensor =
            find(weights, variants[i].name, variants[i].type, variants[i].dims);
        const void *expected =
            variants[i].bytes ? (const void *)variants[i].bytes : variants[i].floats;
        assert_memory_equal(tensor->data, expected, tensor->n_bytes);
    }
    /* Storages are shared, not copied; strided tensors are copies. */
    const char *tied = ut_weights_find(weights, "state_dict/tied_a")->data;
    assert_ptr_equal(ut_weights_find(weights, "state_dict/tied_b")->data, tied);
    assert_ptr_equal(ut_weights_find(weights, "state_dict/tied_tail")->data, tied + 20);
    assert_int_equal(ut_weights_find(weights, "state_dict/i64")->n_dims, 0);
    ut_weights_close(weights);
}

static void test_variants(void **state) {
    check_variants("torch/variants.pt", UT_FORMAT_TORCH_ZIP);
    check_variants("torch/variants_old.pt", UT_FORMAT_TORCH_OLD);
}

static void test_other_files(void **state) {
    struct ut_weights *weights =
        open_data("torch/unsigned.pt", UT_FORMAT_TORCH_ZIP); /* untyped storages */
    assert_memory_equal(find(weights, "u16", UT_U16, (uint64_t[]){1, 1, 1, 1})->data, "\xFF\xFF",
                        2);
    assert_memory_equal(find(weights, "u32", UT_U32, (uint64_t[]){1, 1, 1, 1})->data,
                        "\xFF\xFF\xFF\xFF", 4);
    ut_weights_close(weights);
    weights = open_data("torch/bare_old.pt", UT_FORMAT_TORCH_OLD); /* columns 1 and 2 of three */
    const struct ut_tensor *bare = find(weights, "", UT_I64, (uint64_t[]){2, 2, 1, 1});
    assert_memory_equal(bare->data, ((int64_t[]){1, 2, 4, 5}), 32);
    ut_weights_close(weights);
    weights = open_data("torch/protocol4.pt", UT_FORMAT_TORCH_ZIP);
    assert_float_equal(float_at(find(weights, "w", UT_F32, (uint64_t[]){1, 1, 1, 1}), 0), 1, 0);
    ut_weights_close(weights);
    weights = open_data("torch/extras.pt",
                        UT_FORMAT_TORCH_ZIP); /* argparse, numpy, torch.Size, torch.device */
    assert_int_equal(ut_weights_count(weights), 1);
    find(weights, "net/w", UT_F32, (uint64_t[]){1, 1, 1, 1});
    ut_weights_close(weights);
}

static void test_refused_files(void **state) {
    static const struct {
        const char *name, *message;
    } cases[] = {
        {"torch/module.pt",
         "module.pt: torch: pickle: calls torch.nn.modules.linear.Linear at byte "},
        {"torch/script.pt", "script.pt: torch: a TorchScript archive, which is a program"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ut_weights *weights;
        utter_error err;
        assert_int_equal(ut_weights_open(&mem, data_path(cases[i].name), &weights, &err),
                         UTTER_ERROR_UNSUPPORTED);
        if (!strstr(err.message, cases[i].message)) {
            fail_msg("%s", err.message);
        }
    }
}

/* A byte of the pickle that changes is seen, whatever it says then. */
static void test_damaged_pickle(void **state) {
    struct byte_buffer file = {0};
    byte_buffer_read_file(&file, data_path("kokoro/voices/af_synth.pt"));
    const uint8_t *pickle = memmem(file.data, file.n,
                                   "\x80\x02"
                                   "ctorch",
                                   8);
    assert_non_null(pickle);
    for (size_t i = 0; i < 160; i++) {
        file.data[(size_t)(pickle - file.data) + i] ^= 1;
        assert_int_equal(try_parse(&mem, &file, "data.pkl\" at byte 64: checksum "),
                         UTTER_ERROR_FORMAT);
        file.data[(size_t)(pickle - file.data) + i] ^= 1;
    }
    assert_int_equal(try_parse(&mem, &file, NULL), UTTER_OK);
    byte_buffer_free(&file);
}

/* ---- Zip files ------------------------------------------------------------------------------ */

#define FLOATS(key, n) STORAGE("Float", key, n)
#define PAIR TENSOR(FLOATS("0", "2"), "0", "2", "1")

/* A file of the members that have a name; NULL data: the pickle of PAIR. */
static struct byte_buffer build(const struct zip_member *members, size_t n) {
    struct zip_writer zip = {0};
    struct byte_buffer pickle = {0};
    pickle_write(&pickle, "proto " PAIR ".");
    for (size_t i = 0; i < n && members[i].name; i++) {
        struct zip_member member = members[i];
        if (!member.data) {
            member.data = pickle.data;
            member.n = pickle.n;
        }
        zip_add(&zip, &member);
    }
    zip_finish(&zip, true);
    byte_buffer_free(&pickle);
    byte_buffer_free(&zip.directory);
    return zip.file;
}

#define PICKLE(root)                                                                               \
    { .name = root "/data.pkl" }
#define DATA(root)                                                                                 \
    { .name = root "/data/0", .data = "12345678", .n = 8 }

static void test_members(void **state) {
    static const struct {
        struct zip_member members[5];
        const char *message; /* NULL: whole */
    } cases[] = {
        {{PICKLE("m"), DATA("m")}, NULL},
        {{DATA("m"), PICKLE("m")}, NULL},
        {{PICKLE(""), DATA("")}, NULL},
        {{PICKLE("a/b"), DATA("a/b")}, NULL},
        {{PICKLE("m"),
          DATA("m"),
          {.name = "m/.data/serialization_id", .data = "1", .n = 1},
          {.name = "x", .data = "", .n = 0}},
         NULL},
        {{PICKLE("m"), DATA("m"), {.name = "m/byteorder", .data = "little", .n = 6}}, NULL},
        {{PICKLE("m"), DATA("m"), {.name = "m/byteorder", .data = "big", .n = 3}},
         "big-endian data"},
        {{PICKLE("m"), DATA("m"), {.name = "m/byteorder", .data = "middle", .n = 6}},
         "an unknown byte order at byte "},
        {{PICKLE("m"), DATA("m"), {.name = "m/byteorder", .data = "", .n = 0}},
         "an unknown byte order at byte "},
        {{PICKLE("m"), DATA("m"), {.name = "n/byteorder", .data = "big", .n = 3}}, NULL},
        {{PICKLE("m"), DATA("m"), {.name = "m/constants.pkl", .data = "", .n = 0}},
         "a TorchScript archive"},
        {{DATA("m")}, "a zip file without data.pkl: not written by torch.save"},
        {{{.name = "data.pkl", .data = "", .n = 0}, DATA("m")}, "a zip file without data.pkl"},
        {{PICKLE("m"), DATA("m"), PICKLE("n")}, "two pickles, \"m/data.pkl\" and \"n/data.pkl\""},
        {{PICKLE("m"), DATA("n")}, "tensor \"\": no member \"m/data/0\" with the data"},
        {{PICKLE("m"), {.name = "m/data/0", .data = "1234567", .n = 7}},
         "storage \"m/data/0\" of 2 elements of f32 has only 7 bytes"},
        {{PICKLE("m"), {.name = "m/data/0", .data = "123456789", .n = 9}}, NULL},
        {{{.name = "m/data.pkl", .data = "\x80\2}.", .n = 4}}, NULL},
        {{{.name = "m/data.pkl", .data = "\x80\2}.x", .n = 5}},
         "1 bytes behind the pickle, at byte "},
        {{{.name = "m/data.pkl", .data = "", .n = 0}}, "no pickle of protocol 2 to 4 at byte "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct byte_buffer file = build(cases[i].members, 5);
        struct parsed p = parse_copy(&mem, file.data, file.n);
        if (p.status ? !cases[i].message || !strstr(p.err.message, cases[i].message)
                     : cases[i].message != NULL) {
            fail_msg("case %zu: %s", i, p.status ? p.err.message : "accepted");
        }
        drop_parsed(&p);
        byte_buffer_free(&file);
    }
}

static void test_long_root(void **state) {
    for (int n = 1024; n <= 1025; n++) {
        struct byte_buffer names[2] = {{0}};
        byte_buffer_printf(&names[0], "%0*d/data.pkl%c", n, 0, '\0');
        byte_buffer_printf(&names[1], "%0*d/data/0%c", n, 0, '\0');
        struct zip_member members[] = {{.name = (char *)names[0].data},
                                       {.name = (char *)names[1].data, .data = "12345678", .n = 8}};
        struct byte_buffer file = build(members, 2);
        assert_int_equal(try_parse(&mem, &file, "the folder of data.pkl has a name of 1025 bytes"),
                         n == 1024 ? UTTER_OK : UTTER_ERROR_FORMAT);
        byte_buffer_free(&file);
        byte_buffer_free(&names[0]);
        byte_buffer_free(&names[1]);
    }
}

static void test_compressed_member(void **state) {
    struct byte_buffer file = torch_zip(PAIR, 8);
    const uint8_t *entry = memmem(file.data, file.n, "PK\1\2", 4);
    assert_non_null(entry);
    put_number(&file, (size_t)(entry - file.data) + 10, 8, 2);
    put_number(&file, 8, 8, 2);
    assert_int_equal(try_parse(&mem, &file, "member \"m/data.pkl\" is compressed"),
                     UTTER_ERROR_UNSUPPORTED);
    byte_buffer_free(&file);
}

#define WITH_ID(id) TENSOR("( " id " t Q ", "0", "1", "1")
#define NO_ID "tensor \"\": storage: a persistent id that is none, at byte "
#define NO_KEY "tensor \"\": storage: a key that is no decimal number, at byte "
#define NO_COUNT "tensor \"\": storage: a count of elements that is no size, at byte "

static void test_storages(void **state) {
    static const struct {
        const char *words, *message;
    } cases[] = {
        {WITH_ID("'storage' @torch.FloatStorage '0' 'cpu' 2"), NULL},
        {WITH_ID("'storage' @torch.FloatStorage '0' 'cuda:0' 2 N"), NULL},
        {WITH_ID("'storage' @torch.FloatStorage '0' N 1"), NULL},
        {WITH_ID("'storage' @torch.FloatStorage '0' 'cpu'"), NO_ID},
        {WITH_ID("'storage' @torch.FloatStorage '0' 'cpu' 2 N N"), NO_ID},
        {WITH_ID("'module' @torch.FloatStorage '0' 'cpu' 2"), NO_ID},
        {WITH_ID("1 @torch.FloatStorage '0' 'cpu' 2"), NO_ID},
        {WITH_ID("'storage' 'FloatStorage' '0' 'cpu' 2"), "storage: its type is no name, at byte "},
        {WITH_ID("'storage' @numpy.FloatStorage '0' 'cpu' 2"),
         "storage of type numpy.FloatStorage cannot be read"},
        {WITH_ID("'storage' @torch.FloatStorage '' 'cpu' 2"), NO_KEY},
        {WITH_ID("'storage' @torch.FloatStorage '-1' 'cpu' 2"), NO_KEY},
        {WITH_ID("'storage' @torch.FloatStorage '../0' 'cpu' 2"), NO_KEY},
        {WITH_ID("'storage' @torch.FloatStorage '012345678901234567890' 'cpu' 2"), NO_KEY},
        {WITH_ID("'storage' @torch.FloatStorage '01234567890123456789' 'cpu' 2"),
         "no member \"m/data/01234567890123456789\""},
        {WITH_ID("'storage' @torch.FloatStorage 0 'cpu' 2"), NO_KEY},
        {WITH_ID("'storage' @torch.FloatStorage '1' 'cpu' 2"),
         "no member \"m/data/1\" with the data"},
        {WITH_ID("'storage' @torch.FloatStorage '0' 'cpu' -1"), NO_COUNT},
        {WITH_ID("'storage' @torch.FloatStorage '0' 'cpu' N"), NO_COUNT},
        {WITH_ID("'storage' @torch.FloatStorage '0' 'cpu' '2'"), NO_COUNT},
        {WITH_ID("'storage' @torch.FloatStorage '0' 'cpu' 3"),
         "of 3 elements of f32 has only 8 bytes"},
        {WITH_ID("'storage' @torch.FloatStorage '0' 'cpu' 9223372036854775807"),
         "has only 8 bytes"},
        {WITH_ID("'storage' @torch.FloatStorage '0' 'cpu' 4611686018427387904"),
         "has only 8 bytes"},
        {WITH_ID("'storage' @torch.FloatStorage '0' 'cpu' 0"),
         "offset, size and strides go beyond the storage"},
        {WITH_ID("'storage' @torch.FloatStorage '0' 'cpu' 2 ( '7' 1 1 t"), NULL},
        {WITH_ID("'storage' @torch.FloatStorage '0' 'cpu' 2 ( '7' 1 2 t"),
         "storage: a view that is not within it, at byte "},
        {WITH_ID("'storage' @torch.FloatStorage '0' 'cpu' 2 ( '7' 3 0 t"),
         "a view that is not within it"},
        {WITH_ID("'storage' @torch.FloatStorage '0' 'cpu' 2 ( '7' 1 t"),
         "a view that is not within it"},
        {WITH_ID("'storage' @torch.FloatStorage '0' 'cpu' 2 ( '7' -1 1 t"),
         "a view that is not within it"},
        {WITH_ID("'storage' @torch.FloatStorage '0' 'cpu' 2 ( '7' 1 N t"),
         "a view that is not within it"},
        {WITH_ID("'storage' @torch.FloatStorage '0' 'cpu' 2 1"), "a view that is not within it"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct byte_buffer file = torch_zip(cases[i].words, 8);
        struct parsed p = parse_copy(&mem, file.data, file.n);
        if (p.status ? !cases[i].message || !strstr(p.err.message, cases[i].message)
                     : cases[i].message != NULL) {
            fail_msg("%s: %s", cases[i].words, p.status ? p.err.message : "accepted");
        }
        drop_parsed(&p);
        byte_buffer_free(&file);
    }
}

/* ---- The old format ------------------------------------------------------------------------- */

static void test_old(void **state) {
    static const struct {
        const char *words, *keys;
        uint64_t n_elements;
        size_t n;
        const char *message;
    } cases[] = {
        {PAIR, "] '0' a", 2, 8, NULL},
        {"( " PAIR PAIR "t", "] '0' a", 2, 8, NULL},
        {TENSOR("( 'storage' @torch.FloatStorage '0' 'cpu' 2 ( '7' 1 1 t t Q ", "0", "1", "1"),
         "] '0' a", 2, 8, NULL},
        {PAIR, "( '0' t", 2, 8, "no list of storages at byte "},
        {PAIR, "]", 2, 0, "8 bytes behind the last storage, at byte "},
        {PAIR, "] 0 a", 2, 8, "a storage key that is no number at byte "},
        {PAIR, "] 'x' a", 2, 8, "a storage key that is no number at byte "},
        {PAIR, "] '1' a", 2, 8, "storage 1 is used by no tensor"},
        {PAIR, "] '00' a", 2, 8, "storage 00 is used by no tensor"},
        {PAIR, "] '0' a '0' a", 2, 8, "storage 0 stands twice in the list"},
        {PAIR, "] '0' a", 3, 12, "storage 0 has 3 elements at byte "},
        {PAIR, "] '0' a", 0, 0, "storage 0 has 0 elements at byte "},
        {PAIR, "] '0' a", UINT64_MAX, 8, "elements at byte "},
        {PAIR, "] '0' a", 2, 7, "storage 0 is cut off at byte "},
        {PAIR, "] '0' a", 2, 9, "1 bytes behind the last storage, at byte "},
        {TENSOR(FLOATS("0", "4611686018427387904"), "0", "2", "1"), "] '0' a", 4611686018427387904,
         8, "storage 0 is cut off at byte "},
        {"( " PAIR TENSOR(FLOATS("0", "3"), "0", "2", "1") "t", "] '0' a", 2, 8,
         "storage 0 is described in two different ways"},
        {"( " PAIR TENSOR(STORAGE("Int", "0", "2"), "0", "2", "1") "t", "] '0' a", 2, 8,
         "described in two different ways"},
        {"( " PAIR TENSOR(FLOATS("1", "0"), "0", "0", "1") "t", "] '0' a", 2, 8,
         "storage 1 is not in the list of storages"},
        {WITH_ID("'storage' @torch.FloatStorage '0' 'cpu'"), "] '0' a", 2, 8,
         "storage: a persistent id that is none"},
        {"@os.system ) R", "]", 0, 0, "calls os.system at byte "},
        {PAIR, "@os.system ) R", 0, 0, "calls os.system at byte "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct byte_buffer file =
            torch_old(cases[i].words, cases[i].keys, cases[i].n_elements, cases[i].n);
        struct parsed p = parse_copy(&mem, file.data, file.n);
        if (p.status ? !cases[i].message || !strstr(p.err.message, cases[i].message)
                     : cases[i].message != NULL) {
            fail_msg("case %zu: %s", i, p.status ? p.err.message : "accepted");
        }
        if (!p.status) {
            use_weights(p.weights);
        }
        drop_parsed(&p);
        byte_buffer_free(&file);
    }
}

/* Two storages, listed in another order than the tensors use them, one as long as a count. */
static void test_old_order(void **state) {
    struct byte_buffer file = torch_old("( " TENSOR(STORAGE("Byte", "30", "3"), "0", "3", "1")
                                            TENSOR(STORAGE("Byte", "4", "2"), "0", "2", "1") "t",
                                        "] ( '4' '30' e", 2, 2);
    uint64_t n = 3;
    byte_buffer_append(&file, &n, sizeof n);
    byte_buffer_append(&file, "abc", 3);
    struct parsed p = parse_copy(&mem, file.data, file.n);
    if (p.status) {
        fail_msg("%s", p.err.message);
    }
    assert_memory_equal(ut_weights_find(p.weights, "0")->data, "abc", 3);
    assert_memory_equal(ut_weights_find(p.weights, "1")->data, "\1\2", 2);
    drop_parsed(&p);
    byte_buffer_free(&file);
}

static void test_old_preamble(void **state) {
    static const struct {
        const char *words, *message;
    } cases[] = {
        {". proto 1000 . proto } 'little_endian' True s .",
         "old format: a version other than 1001 at byte 15"},
        {". proto N . proto } 'little_endian' True s .", "old format: a version other than 1001"},
        {". proto 1001 . proto } .", "old format: no byte order at byte 23"},
        {". proto 1001 . proto ] .", "old format: no byte order at byte 23"},
        {". proto 1001 . proto } 'little_endian' 1 s .", "old format: no byte order"},
        {". proto 1001 . proto } 'little_endian' False s .", "big-endian data"},
        {". proto 1001 . proto } 'little_endian' False s 'little_endian' True s . proto } . proto ] .",
         NULL},
        {". proto 1001 . proto } 'little_endian' True s . } .", "no pickle of protocol 2 to 4"},
        {". @os.system ) R .", "no pickle of protocol 2 to 4 at byte 15"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct byte_buffer file = {0};
        pickle_write(&file, "proto $8A0A6CFC9C46F9206AA85019");
        pickle_write(&file, cases[i].words);
        struct parsed p = parse_copy(&mem, file.data, file.n);
        if (p.status ? !cases[i].message || !strstr(p.err.message, cases[i].message)
                     : cases[i].message != NULL) {
            fail_msg("%s: %s", cases[i].words, p.status ? p.err.message : "accepted");
        }
        drop_parsed(&p);
        byte_buffer_free(&file);
    }
}

static void test_tar(void **state) {
    struct byte_buffer file = {0};
    memset(byte_buffer_insert(&file, 0, 1024), 0, 1024);
    memcpy(file.data, "sys_info", 8);
    memcpy(file.data + 257, "ustar  ", 8);
    assert_int_equal(try_parse(&mem, &file, "torch: a tar file, as torch before 0.4 wrote"),
                     UTTER_ERROR_UNSUPPORTED);
    byte_buffer_free(&file);
}

/* ---- Both ----------------------------------------------------------------------------------- */

#define WHOLE "} ( 'a' " PAIR "'b' ] " TENSOR(FLOATS("0", "2"), "0", "2 2", "0 1") "a 'n' 5 u"

static void test_truncated(void **state) {
    struct byte_buffer files[] = {torch_zip(WHOLE, 8), torch_old(WHOLE, "] '0' a", 2, 8)};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(try_parse(&mem, &files[i], NULL), UTTER_OK);
        while (files[i].n > 0) {
            files[i].n--;
            assert_int_equal(try_parse(&mem, &files[i], NULL), UTTER_ERROR_FORMAT);
        }
        byte_buffer_free(&files[i]);
    }
}

/* Each byte with each of some values: refused, or used to the last byte. */
static void test_every_byte(void **state) {
    struct byte_buffer files[] = {torch_zip(WHOLE, 8), torch_old(WHOLE, "] '0' a", 2, 8)};
    for (size_t i = 0; i < 2; i++) {
        for (size_t at = 0; at < files[i].n; at++) {
            uint8_t saved = files[i].data[at];
            const uint8_t values[] = {
                0, 1, 0x7F, 0x80, 0xFF, (uint8_t)(saved + 1), (uint8_t)(saved - 1)};
            for (size_t v = 0; v < sizeof values; v++) {
                files[i].data[at] = values[v];
                utter_status status = try_parse(&mem, &files[i], NULL);
                assert_true(status == UTTER_OK || status == UTTER_ERROR_FORMAT ||
                            status == UTTER_ERROR_UNSUPPORTED);
            }
            files[i].data[at] = saved;
        }
        byte_buffer_free(&files[i]);
    }
}

/* Every number of the old format at its limits: the pickle has no checksum there. */
static void test_every_number(void **state) {
    static const char *const numbers[] = {
        "0", "1", "-1", "9223372036854775807", "4611686018427387904", "-9223372036854775807"};
    static const char *const templates[] = {
        "@torch._utils._rebuild_tensor_v2 ( ( 'storage' @torch.FloatStorage '0' 'cpu' %s t Q 0 ( 2 t ( 1 t N N t R",
        "@torch._utils._rebuild_tensor_v2 ( ( 'storage' @torch.FloatStorage '0' 'cpu' 2 t Q %s ( 2 t ( 1 t N N t R",
        "@torch._utils._rebuild_tensor_v2 ( ( 'storage' @torch.FloatStorage '0' 'cpu' 2 t Q 0 ( %s t ( 1 t N N t R",
        "@torch._utils._rebuild_tensor_v2 ( ( 'storage' @torch.FloatStorage '0' 'cpu' 2 t Q 0 ( 2 t ( %s t N N t R",
        "@torch._utils._rebuild_tensor_v2 ( ( 'storage' @torch.FloatStorage '0' 'cpu' 2 t Q 0 ( %s 2 t ( 0 1 t N N t R",
    };
    size_t n_accepted = 0;
    for (size_t t = 0; t < sizeof templates / sizeof *templates; t++) {
        for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
            struct byte_buffer words = {0};
            const char *gap = strstr(templates[t], "%s");
            byte_buffer_printf(&words, "%.*s%s%s%c", (int)(gap - templates[t]), templates[t],
                               numbers[i], gap + 2, '\0');
            struct byte_buffer old = torch_old((char *)words.data, "] '0' a", 2, 8),
                               zip = torch_zip((char *)words.data, 8);
            utter_status status = try_parse(&mem, &old, NULL);
            n_accepted += status == UTTER_OK;
            assert_true(status == UTTER_OK || status == UTTER_ERROR_FORMAT);
            assert_int_equal(try_parse(&mem, &zip, NULL), status);
            byte_buffer_free(&words);
            byte_buffer_free(&old);
            byte_buffer_free(&zip);
        }
    }
    assert_int_equal(n_accepted, 7); /* offset 0; sizes 0 and 1; strides 0 and 1; sizes 0 and 1 */
}

static void test_allocation(void **state) {
    struct byte_buffer files[] = {{0}, {0}};
    struct sweep sweep;
    byte_buffer_read_file(&files[0], data_path("torch/variants.pt"));
    byte_buffer_read_file(&files[1], data_path("torch/variants_old.pt"));
    for (size_t i = 0; i < 2; i++) {
        for (int and_later = 0; and_later < 2; and_later++) {
            for (sweep_start(&sweep, &mem, and_later); sweep_next(&sweep);) {
                sweep_check(&sweep, try_parse(&mem, &files[i], NULL));
            }
            assert_true(sweep.n_injected >= 3);
        }
        byte_buffer_free(&files[i]);
    }
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_kokoro, setup, teardown),
        cmocka_unit_test_setup_teardown(test_voice, setup, teardown),
        cmocka_unit_test_setup_teardown(test_variants, setup, teardown),
        cmocka_unit_test_setup_teardown(test_other_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damaged_pickle, setup, teardown),
        cmocka_unit_test_setup_teardown(test_members, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_root, setup, teardown),
        cmocka_unit_test_setup_teardown(test_compressed_member, setup, teardown),
        cmocka_unit_test_setup_teardown(test_storages, setup, teardown),
        cmocka_unit_test_setup_teardown(test_old, setup, teardown),
        cmocka_unit_test_setup_teardown(test_old_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_old_preamble, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tar, setup, teardown),
        cmocka_unit_test_setup_teardown(test_truncated, setup, teardown),
        cmocka_unit_test_setup_teardown(test_every_byte, setup, teardown),
        cmocka_unit_test_setup_teardown(test_every_number, setup, teardown),
        cmocka_unit_test_setup_teardown(test_allocation, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
