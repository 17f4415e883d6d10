/* Names and places of the tensors in a torch pickle. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/torch_writer.h"
#include "weights/pickle.h"
#include "weights_check.h"

static struct ut_mem mem;

static int setup(void **state) {
    ut_mem_init(&mem, NULL);
    return 0;
}

static int teardown(void **state) {
    return atomic_load(&mem.bytes[UT_MEM_WEIGHTS]) + atomic_load(&mem.bytes[UT_MEM_OTHER]) != 0;
}

/* Storage 0 has 12 bytes, 1 to 12. */
#define BYTES STORAGE("Byte", "0", "12")
#define SCALAR TENSOR(BYTES, "0", "", "")
#define AT(offset) TENSOR(BYTES, offset, "", "")

static struct parsed parse(const char *words) {
    struct byte_buffer file = torch_zip(words, 12);
    struct parsed parsed = parse_copy(&mem, file.data, file.n);
    byte_buffer_free(&file);
    return parsed;
}

/* All names in the order of the file, separated by spaces. */
static void test_names(void **state) {
    static const struct {
        const char *words, *names;
    } cases[] = {
        {SCALAR, "<>"},
        {"}", ""},
        {"]", ""},
        {"N", ""},
        {"5", ""},
        {"'x'", ""},
        {BYTES, ""},
        {"} 'a' " SCALAR "s", "<a>"},
        {"} '' " SCALAR "s", "<>"},
        {"} ( 'b' " SCALAR "'a' " SCALAR "u", "<b><a>"},
        {"} 'net' } 'a.b' " SCALAR "s s 'epoch' 3 s 'name' 'x' s", "<net/a.b>"},
        {"} 'a' } 'b' } 'c' " SCALAR "s s s", "<a/b/c>"},
        {"} '' } '' " SCALAR "s s", "</>"},
        {"] ( " SCALAR "1 " SCALAR "e", "<0><2>"},
        {"} 'l' ] ( N ( " SCALAR SCALAR "t e s", "<l/1/0><l/1/1>"},
        {"} 0 } 'exp_avg' " SCALAR "s s -7 " SCALAR "s", "<0/exp_avg><-7>"},
        {"} N 5 s ( 1 2 t 6 s 'a' " SCALAR "s", "<a>"},          /* keys without a tensor below */
        {"} 'a' " SCALAR "=0 s 'b' *0 s", "<a><b>"},             /* one tensor twice */
        {"} 'a' } 'w' " SCALAR "s =0 s 'b' *0 s", "<a/w><b/w>"}, /* one map twice */
        {"} =0 'self' *0 s 'w' " SCALAR "s", "<w>"},
        {"] =0 *0 a " SCALAR "a", "<1>"},
        {"} 'p' @torch._utils._rebuild_parameter " SCALAR "True } T3 R s", "<p>"},
        {"@collections.OrderedDict ] 'a' " SCALAR "T2 a T1 R", "<a>"},
        {"@collections.defaultdict @builtins.dict T1 R 'a' " SCALAR "s", "<a>"},
        {"} 'args' @argparse.Namespace ) $81 } 'lr' 1 s b s 'w' " SCALAR "s", "<w>"},
        {"} 'o' @omegaconf.X ) $81 =0 } '_parent' *0 s b s 'w' " SCALAR "s",
         "<w>"}, /* nodes know their parents */
        {"} 's' $8F ( 1 2 $90 s 'w' " SCALAR "s", "<w>"},
        {"} 'w' " SCALAR "} 'note' " SCALAR "s b s", "<w>"}, /* the state of a tensor */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct parsed p = parse(cases[i].words);
        struct byte_buffer names = {0};
        if (p.status) {
            fail_msg("%s: %s", cases[i].words, p.err.message);
        }
        for (size_t t = 0; t < ut_weights_count(p.weights); t++) {
            byte_buffer_printf(&names, "<%s>", ut_weights_at(p.weights, t)->name);
        }
        byte_buffer_append_u8(&names, '\0');
        assert_string_equal((char *)names.data, cases[i].names);
        use_weights(p.weights);
        drop_parsed(&p);
        byte_buffer_free(&names);
    }
}

static void test_refused_names(void **state) {
    static const struct {
        const char *words, *message;
    } cases[] = {
        {"} 'a' " SCALAR "s 'a' " SCALAR "s", "key \"a\" stands twice at byte "},
        {"} 'a' 1 s 'b' 2 s 'a' 3 s", "key \"a\" stands twice at byte "},
        {"} 5 1 s 5 2 s", "key \"5\" stands twice"},
        {"} ( 'w' " SCALAR "'x' } 'a' 1 s 'a' } s u", "key \"a\" stands twice"},
        {"} 'a/b' " SCALAR "s 'a' } 'b' " SCALAR "s s", "tensor \"a/b\" stands twice in the file"},
        {"} '0' " SCALAR "s 0 " SCALAR "s", "tensor \"0\" stands twice in the file"},
        {"} N " SCALAR "s", "a tensor below a key that is neither text nor number, at byte "},
        {"} ( 1 2 t } 'a' " SCALAR "s s", "a tensor below a key that is neither text nor number"},
        {"} True " SCALAR "s", "a tensor below a key that is neither text nor number"},
        {"$8F " SCALAR "T1 $30 ( " SCALAR "$90", "a tensor in a set, at byte "},
        {"} 's' $8F ( " SCALAR "T1 $90 s", "a tensor in a set"},
        {"} 'x' @argparse.Namespace ) $81 } 'w' " SCALAR "s b s",
         "a tensor inside argparse.Namespace at byte "},
        {"} 'x' @omegaconf.X " SCALAR "T1 R s", "a tensor inside omegaconf.X at byte "},
        {"} 'x' @omegaconf.X ) R 'w' ] " SCALAR "a s s", "a tensor inside omegaconf.X"},
        {"} 'x' @builtins.set ] " SCALAR "a T1 R s", "a tensor inside builtins.set"},
        {"@torch.Size " SCALAR "T1 R", "a tensor inside torch.Size"},
        {"} $5803000000610062 " SCALAR "s", "tensor \"a\": a name with invalid UTF-8 or a NUL"},
        {"} $5801000000FF " SCALAR "s", "a name with invalid UTF-8 or a NUL"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct parsed p = parse(cases[i].words);
        if (!p.status || !strstr(p.err.message, cases[i].message)) {
            fail_msg("%s: %s", cases[i].words, p.status ? p.err.message : "accepted");
        }
        drop_parsed(&p);
    }
}

/* n maps around a tensor. */
static struct parsed parse_nested(int n) {
    struct byte_buffer words = {0};
    for (int i = 0; i < n; i++) {
        byte_buffer_printf(&words, "} 'x' ");
    }
    byte_buffer_printf(&words, SCALAR);
    for (int i = 0; i < n; i++) {
        byte_buffer_printf(&words, "s ");
    }
    byte_buffer_append_u8(&words, '\0');
    struct parsed parsed = parse((const char *)words.data);
    byte_buffer_free(&words);
    return parsed;
}

static void test_depth(void **state) {
    struct parsed p = parse_nested(64);
    assert_int_equal(p.status, UTTER_OK);
    assert_int_equal(strlen(ut_weights_at(p.weights, 0)->name), 127);
    drop_parsed(&p);
    p = parse_nested(65);
    assert_int_equal(p.status, UTTER_ERROR_FORMAT);
    assert_non_null(strstr(p.err.message, "nested more than 64 levels deep at byte "));
    drop_parsed(&p);
    p = parse_nested(100000);
    assert_int_equal(p.status, UTTER_ERROR_FORMAT);
    drop_parsed(&p);
}

static void test_long_names(void **state) {
    for (int n = 1022; n <= 1023; n++) { /* with "x/" in front 1024 bytes, then 1025 */
        struct byte_buffer words = {0};
        byte_buffer_printf(&words, "} 'x' } '%0*d' " SCALAR "s s%c", n, 0, '\0');
        struct parsed p = parse((const char *)words.data);
        assert_int_equal(p.status, n == 1022 ? UTTER_OK : UTTER_ERROR_FORMAT);
        if (p.status) {
            assert_non_null(
                strstr(p.err.message, "\"x\": below it is a name that makes more than 1024 bytes"));
        } else {
            assert_int_equal(strlen(ut_weights_at(p.weights, 0)->name), 1024);
        }
        drop_parsed(&p);
        byte_buffer_free(&words);
    }
}

/* Maps in maps, each twice: without a tensor that costs nothing, with one there are 2^n names. */
static struct parsed parse_bomb(const char *innermost, int n_levels) {
    struct byte_buffer words = {0};
    byte_buffer_printf(&words, "%s =0 ", innermost);
    for (int i = 0; i < n_levels; i++) {
        byte_buffer_printf(&words, "*0 T2 =0 ");
    }
    byte_buffer_append_u8(&words, '\0');
    struct parsed parsed = parse((const char *)words.data);
    byte_buffer_free(&words);
    return parsed;
}

static void test_bombs(void **state) {
    struct parsed p = parse_bomb("} 'a' 1 s", 60);
    assert_int_equal(p.status, UTTER_OK);
    assert_int_equal(ut_weights_count(p.weights), 0);
    drop_parsed(&p);
    p = parse_bomb(SCALAR, 10);
    assert_int_equal(p.status, UTTER_OK);
    assert_int_equal(ut_weights_count(p.weights), 1024);
    drop_parsed(&p);
    p = parse_bomb(SCALAR, 60);
    assert_int_equal(p.status, UTTER_ERROR_FORMAT);
    assert_non_null(strstr(p.err.message, "the file describes more than its size allows"));
    drop_parsed(&p);
    /* A long list that is walked over again and again for the one tensor in it. */
    struct byte_buffer words = {0};
    byte_buffer_printf(&words, "] ( ");
    for (int i = 0; i < 5000; i++) {
        byte_buffer_printf(&words, "N ");
    }
    byte_buffer_printf(&words, SCALAR "e =0 $30 ] ( ");
    for (int i = 0; i < 1000; i++) {
        byte_buffer_printf(&words, "*0 ");
    }
    byte_buffer_printf(&words, "e%c", '\0');
    p = parse((const char *)words.data);
    assert_int_equal(p.status, UTTER_ERROR_FORMAT);
    assert_non_null(strstr(p.err.message, "maps that share maps hold more than 4194304 items"));
    drop_parsed(&p);
    byte_buffer_free(&words);
}

static void test_types(void **state) {
    static const struct {
        const char *type;
        int dtype;
        size_t n_bytes;
    } cases[] = {
        {"Float", UT_F32, 4}, {"Half", UT_F16, 2},  {"BFloat16", UT_BF16, 2}, {"Double", UT_F64, 8},
        {"Long", UT_I64, 8},  {"Int", UT_I32, 4},   {"Short", UT_I16, 2},     {"Char", UT_I8, 1},
        {"Byte", UT_U8, 1},   {"Bool", UT_BOOL, 1}, {"ComplexFloat", -1, 8},  {"QInt8", -1, 1},
        {"", -1, 1},
    };
    static const struct {
        const char *type;
        int dtype;
        size_t n_bytes;
    } untyped[] = {{"float32", UT_F32, 4}, {"float16", UT_F16, 2},   {"bfloat16", UT_BF16, 2},
                   {"float64", UT_F64, 8}, {"uint16", UT_U16, 2},    {"uint32", UT_U32, 4},
                   {"uint64", UT_U64, 8},  {"int64", UT_I64, 8},     {"int32", UT_I32, 4},
                   {"int16", UT_I16, 2},   {"int8", UT_I8, 1},       {"uint8", UT_U8, 1},
                   {"bool", UT_BOOL, 1},   {"float8_e4m3fn", -1, 1}, {"complex64", -1, 8},
                   {"FloatStorage", -1, 4}};
    char words[400];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(words, sizeof words,
                 TENSOR("( 'storage' @torch.%sStorage '0' 'cpu' 1 t Q ", "0", "1 ", "1 "),
                 cases[i].type);
        struct parsed p = parse(words);
        assert_int_equal(p.status, cases[i].dtype < 0 ? UTTER_ERROR_UNSUPPORTED : UTTER_OK);
        if (p.weights) {
            assert_int_equal(ut_weights_at(p.weights, 0)->type, cases[i].dtype);
            assert_int_equal(ut_weights_at(p.weights, 0)->n_bytes, cases[i].n_bytes);
        } else {
            assert_non_null(strstr(p.err.message, "tensor \"\": storage of type torch."));
        }
        drop_parsed(&p);
    }
    for (size_t i = 0; i < sizeof untyped / sizeof *untyped; i++) {
        snprintf(
            words, sizeof words,
            "@torch._utils._rebuild_tensor_v3 ( ( 'storage' @torch.storage.UntypedStorage '0' 'cpu' 12 t Q "
            "0 ( 1 t ( 1 t False } @torch.%s t R",
            untyped[i].type);
        struct parsed p = parse(words);
        assert_int_equal(p.status, untyped[i].dtype < 0 ? UTTER_ERROR_UNSUPPORTED : UTTER_OK);
        if (p.weights) {
            assert_int_equal(ut_weights_at(p.weights, 0)->type, untyped[i].dtype);
            assert_int_equal(ut_weights_at(p.weights, 0)->n_bytes, untyped[i].n_bytes);
        } else {
            assert_non_null(strstr(p.err.message, "tensor \"\": a type that cannot be read"));
        }
        drop_parsed(&p);
    }
}

#define UNTYPED(n) "( 'storage' @torch.UntypedStorage '0' 'cpu' " n " t Q "
#define V3(storage, offset, size, stride, type)                                                    \
    "@torch._utils._rebuild_tensor_v3 ( " storage offset " ( " size " t ( " stride                 \
    " t False } @torch." type " t R"

/* Strided views of 1 .. 12, and what they look like row by row. */
static void test_layouts(void **state) {
    static const struct {
        const char *words;
        uint64_t dims[UT_MAX_DIMS];
        int n_dims;
        const char *bytes;
        bool is_view;
    } cases[] = {
        {TENSOR(BYTES, "0", "", ""), {1, 1, 1, 1}, 0, "\1", true},
        {TENSOR(BYTES, "11", "", ""), {1, 1, 1, 1}, 0, "\14", true},
        {TENSOR(BYTES, "2", "3", "1"), {3, 1, 1, 1}, 1, "\3\4\5", true},
        {TENSOR(BYTES, "0", "12", "1"), {12, 1, 1, 1}, 1, "\1\2\3\4\5\6\7\10\11\12\13\14", true},
        {TENSOR(BYTES, "0", "2 3", "3 1"), {2, 3, 1, 1}, 2, "\1\2\3\4\5\6", true},
        {TENSOR(BYTES, "0", "3 2", "1 3"), {3, 2, 1, 1}, 2, "\1\4\2\5\3\6", false},
        {TENSOR(BYTES, "1", "2 2", "4 2"), {2, 2, 1, 1}, 2, "\2\4\6\10", false},
        {TENSOR(BYTES, "5", "3", "0"), {3, 1, 1, 1}, 1, "\6\6\6", false},
        {TENSOR(BYTES, "0", "3 2", "0 1"), {3, 2, 1, 1}, 2, "\1\2\1\2\1\2", false},
        {TENSOR(BYTES, "0", "1 2", "999999 1"),
         {1, 2, 1, 1},
         2,
         "\1\2",
         true}, /* a stride that is never used */
        {TENSOR(BYTES, "0", "2 1 3 2", "1 7 4 2"),
         {2, 1, 3, 2},
         4,
         "\1\3\5\7\11\13\2\4\6\10\12\14",
         false},
        {TENSOR(BYTES, "0", "0 3", "3 1"), {0, 3, 1, 1}, 2, "", true},
        {TENSOR(BYTES, "99", "3 0", "1 1"), {3, 0, 1, 1}, 2, "", true}, /* an empty slice */
        {TENSOR(STORAGE("Short", "0", "6"), "1", "2 2", "1 2"),
         {2, 2, 1, 1},
         2,
         "\3\4\7\10\5\6\11\12",
         false},
        {V3(UNTYPED("12"), "2", "4", "1", "uint16"),
         {4, 1, 1, 1},
         1,
         "\5\6\7\10\11\12\13\14",
         true},
        {V3(UNTYPED("11"), "1", "2", "2", "uint16"), {2, 1, 1, 1}, 1, "\3\4\7\10", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct parsed p = parse(cases[i].words);
        if (p.status) {
            fail_msg("%s: %s", cases[i].words, p.err.message);
        }
        const struct ut_tensor *tensor = ut_weights_find(p.weights, "");
        assert_int_equal(tensor->n_dims, cases[i].n_dims);
        assert_memory_equal(tensor->dims, cases[i].dims, sizeof tensor->dims);
        assert_int_equal(tensor->n_bytes, strlen(cases[i].bytes));
        assert_memory_equal(tensor->data, cases[i].bytes, tensor->n_bytes);
        const uint8_t *data = tensor->data;
        assert_int_equal(data >= p.copy && data < p.copy + ut_weights_file_bytes(p.weights),
                         cases[i].is_view);
        use_weights(p.weights);
        drop_parsed(&p);
    }
}

#define BEYOND "tensor \"\": offset, size and strides go beyond the storage, at byte "
#define NO_SIZES "tensor \"\": offset, size and strides are not sizes, at byte "
#define NO_SHAPE "tensor \"\": a shape that no memory could hold, at byte "
#define NO_TENSOR "tensor \"\": a number of arguments that makes no tensor, at byte "
#define NO_TYPE "tensor \"\": a type that cannot be read"
#define MAX "9223372036854775807"
#define HALF "4611686018427387904"

static void test_refused_layouts(void **state) {
    static const struct {
        const char *words, *message;
    } cases[] = {
        {TENSOR(BYTES, "12", "", ""), BEYOND},
        {TENSOR(BYTES, "12", "1", "1"), BEYOND},
        {TENSOR(BYTES, MAX, "1", "1"), BEYOND},
        {TENSOR(BYTES, "1", "12", "1"), BEYOND},
        {TENSOR(BYTES, "0", "13", "1"), BEYOND},
        {TENSOR(BYTES, "0", "2", "12"), BEYOND},
        {TENSOR(BYTES, "0", "4 4", "3 1"), BEYOND},
        {TENSOR(BYTES, "0", "2", MAX), BEYOND},
        {TENSOR(BYTES, "0", "3", MAX), BEYOND},
        {TENSOR(BYTES, "1", "3", MAX), BEYOND},
        {TENSOR(BYTES, "0", "5", HALF), BEYOND},
        {TENSOR(BYTES, "0", "2 2", MAX " " MAX), BEYOND},
        {TENSOR(BYTES, "0", "2 3 2", MAX " " MAX " 1"), BEYOND},
        {TENSOR(BYTES, HALF, "3", HALF), BEYOND},
        {TENSOR(STORAGE("Int", "0", "3"), "0", "4", "1"), BEYOND},
        {TENSOR(STORAGE("Int", "0", "2"), "0", "3", "1"), BEYOND},
        {V3(UNTYPED("11"), "0", "6", "1", "int16"), BEYOND},
        {V3(UNTYPED("1"), "0", "1", "1", "int16"), BEYOND},
        {TENSOR(BYTES, "0", MAX, "1"), BEYOND},
        {TENSOR(BYTES, "0", HALF " 2", "0 0"), NO_SHAPE},
        {TENSOR(BYTES, "0", HALF " 4", "0 0"), NO_SHAPE},
        {TENSOR(BYTES, "0", MAX " 0", "0 0"), NULL},
        {TENSOR(BYTES, "0", MAX " " MAX " 0", "0 0 0"), NO_SHAPE},
        {TENSOR(STORAGE("Long", "0", "1"), "0", MAX, "0"), NO_SHAPE},
        {TENSOR(BYTES, "0", "1000000000", "0"), "the file describes more than its size allows"},
        {TENSOR(BYTES, "-1", "1", "1"), NO_SIZES},
        {TENSOR(BYTES, "0", "-1", "1"), NO_SIZES},
        {TENSOR(BYTES, "5", "2", "-1"), NO_SIZES},
        {TENSOR(BYTES, "0", "2 2", "1"), NO_SIZES},
        {TENSOR(BYTES, "0", "2", "1 1"), NO_SIZES},
        {TENSOR(BYTES, "0", "", "1"), NO_SIZES},
        {TENSOR(BYTES, "N", "1", "1"), NO_SIZES},
        {TENSOR(BYTES, "True", "1", "1"), NO_SIZES},
        {TENSOR(BYTES, "0", "'1'", "1"), NO_SIZES},
        {TENSOR(BYTES, "0", "1", "N"), NO_SIZES},
        {TENSOR(BYTES, "$8A0900000000000000FF00", "1", "1"), NO_SIZES},
        {"@torch._utils._rebuild_tensor ( " BYTES "0 ] 1 a ( 1 t t R", NO_SIZES},
        {"@torch._utils._rebuild_tensor ( " BYTES "0 1 1 t R", NO_SIZES},
        {TENSOR(BYTES, "0", "1 1 1 1 1", "1 1 1 1 1"), "tensor \"\": more than 4 dimensions"},
        {"@torch._utils._rebuild_tensor ( " BYTES "0 ( 1 t ( 1 t t R", NULL},
        {"@torch._utils._rebuild_tensor ( " BYTES "0 ( 1 t t R", NO_TENSOR},
        {"@torch._utils._rebuild_tensor ( " BYTES "0 ( 1 t ( 1 t N t R", NO_TENSOR},
        {"@torch._utils._rebuild_tensor_v2 ( " BYTES "0 ( 1 t ( 1 t N t R", NO_TENSOR},
        {"@torch._utils._rebuild_tensor_v2 ( " BYTES "0 ( 1 t ( 1 t N N N t R", NULL},
        {"@torch._utils._rebuild_tensor_v2 ( " BYTES "0 ( 1 t ( 1 t N N N N t R", NO_TENSOR},
        {"@torch._utils._rebuild_tensor_v2 ) R", NO_TENSOR},
        {"@torch._utils._rebuild_tensor_v3 ( " BYTES "0 ( 1 t ( 1 t N N t R", NO_TENSOR},
        {"@torch._utils._rebuild_tensor_v3 ( " BYTES "0 ( 1 t ( 1 t N N @torch.uint8 N N t R",
         NO_TENSOR},
        {V3(BYTES, "0", "1", "1", "uint8"), NO_TYPE},
        {TENSOR(UNTYPED("12"), "0", "1", "1"), NO_TYPE},
        {TENSOR("5 ", "0", "1", "1"), "tensor \"\": it has no storage, at byte "},
        {TENSOR(SCALAR, "0", "1", "1"), "tensor \"\": it has no storage, at byte "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct parsed p = parse(cases[i].words);
        if (p.status ? !cases[i].message || !strstr(p.err.message, cases[i].message)
                     : cases[i].message != NULL) {
            fail_msg("%s: %s", cases[i].words, p.status ? p.err.message : "accepted");
        }
        drop_parsed(&p);
    }
}

/* Copies of strided tensors count against what the file may take. */
static void test_copies_are_bounded(void **state) {
    struct byte_buffer words = {0};
    byte_buffer_printf(&words, "] ( ");
    for (int i = 0; i < 17; i++) {
        byte_buffer_printf(&words, TENSOR(BYTES, "0", "1000000", "0"));
    }
    byte_buffer_printf(&words, "e%c", '\0');
    struct parsed p = parse((const char *)words.data);
    assert_int_equal(p.status, UTTER_ERROR_FORMAT);
    assert_non_null(strstr(p.err.message, "the file describes more than its size allows"));
    drop_parsed(&p);
    words.n -= strlen(TENSOR(BYTES, "0", "1000000", "0")) + 2;
    byte_buffer_printf(&words, "e%c", '\0');
    p = parse((const char *)words.data);
    assert_int_equal(p.status, UTTER_OK);
    drop_parsed(&p);
    byte_buffer_free(&words);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_names, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused_names, setup, teardown),
        cmocka_unit_test_setup_teardown(test_depth, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_names, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bombs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_types, setup, teardown),
        cmocka_unit_test_setup_teardown(test_layouts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused_layouts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_copies_are_bounded, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
