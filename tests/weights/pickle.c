/* The pickle machine: what every opcode makes, and every way of breaking its rules. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/sweep.h"
#include "support/torch_writer.h"
#include "weights/pickle.h"

static struct ut_mem mem;

static int setup(void **state) {
    ut_mem_init(&mem, NULL);
    return 0;
}

static int teardown(void **state) {
    return atomic_load(&mem.bytes[UT_MEM_WEIGHTS]) != 0;
}

enum { FILE_OFFSET = 1000 };

/* One pickle read from an exactly sized copy that lies at FILE_OFFSET of its file. */
struct run {
    uint8_t *copy;
    struct ut_blocks blocks;
    struct ut_pickle pickle;
    utter_status status;
    utter_error err;
};

static struct run run_bytes(const void *data, size_t n) {
    struct run run = {.copy = test_alloc(n)};
    if (n > 0) {
        memcpy(run.copy, data, n);
    }
    ut_blocks_init(&run.blocks, &mem, 64 << 20, 0);
    run.status = ut_pickle_read(&run.pickle, run.copy, n, FILE_OFFSET, &run.blocks, &run.err);
    return run;
}

static struct run run_words(const char *words) {
    struct byte_buffer bytes = {0};
    pickle_write(&bytes, words);
    struct run run = run_bytes(bytes.data, bytes.n);
    byte_buffer_free(&bytes);
    return run;
}

static void drop(struct run *run) {
    ut_blocks_free(&run->blocks);
    free(run->copy);
}

/* The object as text: None, true, 5, 'text', b'..', @module.name, (..), [..], {..}, set[..],
 * storage(..), tensor@name(..), opaque@name(..)(..). */
static void describe(const struct ut_pickle *pickle, uint32_t number, struct byte_buffer *out);

static void describe_cells(const struct ut_pickle *pickle, uint32_t first, const char *begin,
                           const char *end, struct byte_buffer *out) {
    byte_buffer_printf(out, "%s", begin);
    for (uint32_t c = first; c;) {
        const struct ut_pickle_cell *cell = ut_pickle_cell(pickle, c);
        if (cell->key) {
            describe(pickle, cell->key, out);
            byte_buffer_printf(out, ":");
        }
        describe(pickle, cell->value, out);
        c = cell->next;
        byte_buffer_printf(out, "%s", c ? "," : "");
    }
    byte_buffer_printf(out, "%s", end);
}

static void describe(const struct ut_pickle *pickle, uint32_t number, struct byte_buffer *out) {
    const struct ut_pickle_object *object = ut_pickle_object(pickle, number);
    size_t n;
    const char *text = ut_pickle_text(pickle, number, &n);
    char name[100];
    switch (object->kind) {
    case UT_PICKLE_NONE:
        byte_buffer_printf(out, "None");
        break;
    case UT_PICKLE_BOOL:
        byte_buffer_printf(out, "%s", object->integer ? "true" : "false");
        break;
    case UT_PICKLE_INTEGER:
        byte_buffer_printf(out, "%lld", (long long)object->integer);
        break;
    case UT_PICKLE_FLOAT:
        byte_buffer_printf(out, "float");
        break;
    case UT_PICKLE_STRING:
        byte_buffer_printf(out, "'%.*s'", (int)n, text);
        break;
    case UT_PICKLE_BYTES:
    case UT_PICKLE_LONG:
        byte_buffer_printf(out, "%s%zu", object->kind == UT_PICKLE_LONG ? "long" : "bytes", n);
        break;
    case UT_PICKLE_GLOBAL:
        ut_pickle_global_name(pickle, number, name, sizeof name);
        byte_buffer_printf(out, "@%s", name);
        break;
    case UT_PICKLE_TUPLE:
        describe_cells(pickle, object->first, "(", ")", out);
        break;
    case UT_PICKLE_LIST:
        describe_cells(pickle, object->first, "[", "]", out);
        break;
    case UT_PICKLE_SET:
        describe_cells(pickle, object->first, "set[", "]", out);
        break;
    case UT_PICKLE_MAP:
        describe_cells(pickle, object->first, "{", "}", out);
        break;
    case UT_PICKLE_STORAGE:
        describe_cells(pickle, object->first, "storage<", ">", out);
        break;
    case UT_PICKLE_TENSOR:
        describe_cells(pickle, object->first, "tensor<", ">", out);
        break;
    default:
        describe_cells(pickle, object->first, "opaque<", ">", out);
    }
}

#define V2 "@torch._utils._rebuild_tensor_v2 "
#define A_TENSOR V2 ") R "
#define THE_TENSOR "tensor<@torch._utils._rebuild_tensor_v2:()>"

static void test_values(void **state) {
    static const struct {
        const char *words, *text;
    } cases[] = {
        {"N", "None"},
        {"True", "true"},
        {"False", "false"},
        {"-3", "-3"},
        {"2147483647", "2147483647"},
        {"$4BFF", "255"},
        {"$4DFEFF", "65534"},
        {"-99999999999", "-99999999999"},
        {"$8A00", "0"},
        {"$8A01FF", "-1"},
        {"$8A027F00", "127"},
        {"$8A0200FF", "-256"},
        {"$8A03FFFF7F", "8388607"},
        {"$8A08FFFFFFFFFFFFFF7F", "9223372036854775807"},
        {"$8A080000000000000080", "-9223372036854775808"},
        {"$8A09FFFFFFFFFFFFFFFF00", "long9"},
        {"$473FF0000000000000", "float"},
        {"'abc'", "'abc'"},
        {"$8C026162", "'ab'"},
        {"$8D02000000000000006162", "'ab'"},
        {"$55026162", "'ab'"},
        {"$54020000006162", "'ab'"},
        {"$5800000000", "''"},
        {"$43020102", "bytes2"},
        {"$42020000000102", "bytes2"},
        {"@a.b.c", "@a.b.c"},
        {"$8C036F732E $8C0173 $93", "@os..s"},
        {")", "()"},
        {"]", "[]"},
        {"}", "{}"},
        {"$8F", "set[]"},
        {"( t", "()"},
        {"( 1 2 t", "(1,2)"},
        {"1 T1", "(1)"},
        {"1 2 T2", "(1,2)"},
        {"1 2 3 T3", "(1,2,3)"},
        {"1 ( 2 3 4 5 t T2", "(1,(2,3,4,5))"},
        {"] 1 a", "[1]"},
        {"] ( e", "[]"},
        {"] ( 1 2 e 3 a", "[1,2,3]"},
        {"$8F ( 1 2 $90", "set[1,2]"},
        {"} 'a' 1 s", "{'a':1}"},
        {"} ( u", "{}"},
        {"} ( 'a' 1 'b' ] u 'c' N s", "{'a':1,'b':[],'c':None}"},
        {"1 2 $30", "1"},
        {"1 $32 T2", "(1,1)"},
        {"$950000000000000000 1", "1"},
        {"] =0 1 a *0 T2", "([1],[1])"},
        {"1 =7 $30 2 =7 $30 *7", "2"},
        {"5 $720A000000 $6A0A000000 T2", "(5,5)"},
        {"1 $94 2 $94 *0 *1 T2 T2 T1 T1", NULL}, /* three values left */
        {"1 $94 2 $94 $30 $30 *0 *1 T2", "(1,2)"},
        {"1 =0 =5 $94 $30 *2", "1"},
        {"( 'storage' t Q", "storage<('storage')>"},
        /* Calls that are on the list. */
        {"@collections.OrderedDict ) R", "{}"},
        {"@collections.OrderedDict ) $81", "{}"},
        {"@collections.OrderedDict ] ] 'a' a 1 a a 'b' 2 T2 a T1 R", "{'a':1,'b':2}"},
        {"@collections.OrderedDict ) R 'a' 1 s } 'version' 1 s b", "{'a':1}"},
        {"@collections.defaultdict @builtins.dict T1 R 'a' 1 s", "{'a':1}"},
        {"@collections.defaultdict ) R", "{}"},
        {"@torch._utils._rebuild_tensor ) R", "tensor<@torch._utils._rebuild_tensor:()>"},
        {A_TENSOR, THE_TENSOR},
        {A_TENSOR "} b", THE_TENSOR},
        {"@torch._utils._rebuild_tensor_v3 ) R", "tensor<@torch._utils._rebuild_tensor_v3:()>"},
        {"@torch._utils._rebuild_parameter " A_TENSOR "True @collections.OrderedDict ) R T3 R",
         THE_TENSOR},
        {"@torch._utils._rebuild_parameter_with_state ( " A_TENSOR "True } } t R", THE_TENSOR},
        {"@torch._tensor._rebuild_from_type_v2 ( " V2 "@my.Type ( 1 t } t R",
         "tensor<@torch._utils._rebuild_tensor_v2:(1)>"},
        {"@torch._tensor._rebuild_from_type_v2 ( @torch._utils._rebuild_parameter @my.Type " A_TENSOR
         "T1 } t R",
         THE_TENSOR},
        {"@torch.Size ( 1 2 t T1 R", "opaque<@torch.Size:((1,2))>"},
        {"@torch.device 'cpu' T1 R", "opaque<@torch.device:('cpu')>"},
        {"@torch.serialization._get_layout 'x' T1 R",
         "opaque<@torch.serialization._get_layout:('x')>"},
        {"@builtins.set ] T1 R", "opaque<@builtins.set:([])>"},
        {"@__builtin__.frozenset ] T1 R", "opaque<@__builtin__.frozenset:([])>"},
        {"@_codecs.encode 'x' 'latin1' T2 R", "opaque<@_codecs.encode:('x','latin1')>"},
        {"@numpy.core.multiarray.scalar @numpy.dtype 'f8' T1 R $4300 T2 R",
         "opaque<@numpy.core.multiarray.scalar:(opaque<@numpy.dtype:('f8')>,bytes0)>"},
        {"@argparse.Namespace ) $81 } 'lr' 1 s b", "opaque<@argparse.Namespace:(),{'lr':1}>"},
        {"@pathlib.PosixPath 'x' T1 R", "opaque<@pathlib.PosixPath:('x')>"},
        {"@omegaconf.dictconfig.DictConfig ) $81 ( 'a' 1 u 'b' 2 s 3 a",
         "opaque<@omegaconf.dictconfig.DictConfig:(),'a':1,'b':2,3>"},
        {"@omegaconf.X ) R", "opaque<@omegaconf.X:()>"},
        {"@os.system", "@os.system"}, /* a name that nobody calls */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct byte_buffer words = {0}, text = {0};
        byte_buffer_printf(&words, "proto %s .%c", cases[i].words, '\0');
        struct run run = run_words((const char *)words.data);
        if (!run.status) {
            describe(&run.pickle, run.pickle.root, &text);
            byte_buffer_append_u8(&text, '\0');
        }
        if (run.status ? cases[i].text != NULL
                       : !cases[i].text || strcmp((char *)text.data, cases[i].text) != 0) {
            fail_msg("%s: %s", cases[i].words, run.status ? run.err.message : (char *)text.data);
        }
        drop(&run);
        byte_buffer_free(&words);
        byte_buffer_free(&text);
    }
}

static void test_rules(void **state) {
    static const struct {
        const char *words, *message;
    } cases[] = {
        {"", "no pickle of protocol 2 to 4 at byte 1000"},
        {"} .", "no pickle of protocol 2 to 4"},
        {"$8001 } .", "no pickle of protocol 2 to 4"},
        {"$8005 } .", "no pickle of protocol 2 to 4"},
        {"proto } proto .", "no pickle of protocol 2 to 4 at byte 1003"},
        {"proto .", "the end with other than one value on the stack at byte 1002"},
        {"proto 1 2 .", "the end with other than one value"},
        {"proto ( 1 .", "the end with other than one value"},
        {"proto 1", "an opcode that is cut off at byte 1007"},
        {"proto $950100000000000000", "a frame that is cut off"},
        {"proto $95FFFFFFFFFFFFFFFF .", "a frame that is cut off at byte 1002"},
        {"proto $58FFFFFFFF .", "an opcode that is cut off at byte 1002"},
        {"proto $5402000080 N .", "an opcode that is cut off"},
        {"proto $8DFFFFFFFFFFFFFFFF .", "an opcode that is cut off"},
        {"proto $8D0000000000000080 .", "an opcode that is cut off"},
        {"proto $8AFF .", "an opcode that is cut off"},
        {"proto $636F73 .", "an opcode that is cut off"},
        {"proto $636F730A73 .", "an opcode that is cut off at byte 1002"},
        /* The stack. */
        {"proto $30 .", "too few values on the stack at byte 1002"},
        {"proto $32 .", "too few values"},
        {"proto =0 .", "too few values"},
        {"proto T1 .", "too few values"},
        {"proto 1 T2 .", "too few values"},
        {"proto 1 2 T3 .", "too few values"},
        {"proto 1 ( T1 .", "too few values"},
        {"proto 1 ( $30 .", "too few values"},
        {"proto 1 ( =0 .", "too few values"},
        {"proto ] a .", "too few values"},
        {"proto } 1 s .", "too few values"},
        {"proto ( e .", "too few values"},
        {"proto ( 1 u .", "too few values"},
        {"proto ] ( ( 1 e .", "too few values"},
        {"proto } ( 1 2 s .", "too few values"},
        {"proto ) R .", "too few values"},
        {"proto } b .", "too few values"},
        {"proto Q .", "too few values"},
        {"proto 'a' $93 .", "too few values"},
        {"proto 1 ( R .", "too few values"},
        {"proto t .", "no mark on the stack at byte 1002"},
        {"proto ] e .", "no mark"},
        {"proto } u .", "no mark"},
        {"proto ( t t .", "no mark"},
        {"proto $8F $90 .", "no mark"},
        /* The memo. */
        {"proto *0 .", "a memo entry that was never written at byte 1002"},
        {"proto 1 =1 *0 T2 .", "never written"},
        {"proto $6AFFFFFFFF .", "never written"},
        {"proto 1 =0 $6A00FFFF00 .", "never written"},
        {"proto 1 $72FFFFFFFF .", "a memo entry beyond the limit"},
        {"proto 1 $72C0FF0F00 .", "a memo entry beyond the limit"},
        {"proto 1 $72BFFF0F00 $30 $6ABEFF0F00 .", "never written"},
        /* Kinds. */
        {"proto 1 2 a .", "items for something that does not hold any at byte 1012"},
        {"proto } 2 a .", "does not hold any"},
        {"proto ] 'a' 1 s .", "does not hold any"},
        {"proto ) 2 a .", "does not hold any"},
        {"proto ] ( 1 $90 .", "does not hold any"},
        {"proto $8F ( 1 e .", "does not hold any"},
        {"proto 1 ( 'a' 1 u .", "does not hold any"},
        {"proto } ( 'a' u .", "a key without a value"},
        {"proto } ( 'a' 1 'b' u .", "a key without a value"},
        {"proto 1 2 b .", "a state for something that has none"},
        {"proto ] 2 b .", "a state for something"},
        {"proto 1 Q .", "a persistent id that is no tuple"},
        {"proto ] Q .", "a persistent id that is no tuple"},
        {"proto 1 'a' $93 .", "a global whose name is no string"},
        {"proto 'a' $4300 $93 .", "a global whose name is no string"},
        /* Arguments of calls that are on the list. */
        {"proto @torch.Size 1 R .", "a call whose arguments are no tuple"},
        {"proto @torch.Size ] $81 .", "arguments are no tuple"},
        {"proto @collections.OrderedDict 1 T1 R .", "a map of something that is no list of pairs"},
        {"proto @collections.OrderedDict ] 1 a T1 R .", "no list of pairs"},
        {"proto @collections.OrderedDict ] 1 T1 a T1 R .", "no list of pairs"},
        {"proto @collections.OrderedDict ] 1 2 3 T3 a T1 R .", "no list of pairs"},
        {"proto @collections.OrderedDict ] ] T2 R .", "a map with more than one argument"},
        {"proto @collections.defaultdict N ] T2 R .", "a map with more than one argument"},
        {"proto @torch._utils._rebuild_parameter ) R .",
         "a parameter of something that is no tensor"},
        {"proto @torch._utils._rebuild_parameter 1 T1 R .",
         "a parameter of something that is no tensor"},
        {"proto @torch._tensor._rebuild_from_type_v2 " V2 "N T2 R .",
         "too few arguments for a tensor"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct run run = run_words(cases[i].words);
        if (!run.status || !strstr(run.err.message, cases[i].message)) {
            fail_msg("%s: %s", cases[i].words, run.status ? run.err.message : "accepted");
        }
        drop(&run);
    }
}

/* Each is refused where it is called, with its name and offset; nothing else of the file matters.
 */
static void test_calls(void **state) {
    static const char *const names[] = {
        "os.system",
        "posix.system",
        "nt.system",
        "builtins.eval",
        "builtins.exec",
        "builtins.getattr",
        "__builtin__.eval",
        "subprocess.Popen",
        "subprocess.check_output",
        "runpy._run_code",
        "torch.load",
        "torch.hub.load",
        "torch.jit.load",
        "torch.storage._load_from_bytes",
        "torch._utils._rebuild_qtensor",
        "torch.nn.modules.linear.Linear",
        "torch.Sizes",
        "torch.siz",
        "torch.FloatStorage",
        "numpy.core.multiarray.frombuffer",
        "numpy.load",
        "numpy.f2py.crackfortran.myeval",
        "numpy.testing._private.utils.runstring",
        "collections.OrderedDict.fromkeys",
        "omegaconfig.X",
        "argparse.Namespace2",
        "functools.partial",
        "operator.attrgetter",
        "importlib.import_module",
        "webbrowser.open",
        "copyreg._reconstructor",
        "builtins.dict",
        "builtins.print",
        "my_package.Model",
        "__main__.Model",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        for (int way = 0; way < 3; way++) {
            static const char *const endings[] = {"'id' T1 R .", "'id' T1 $81 .", "'id' R ."};
            struct byte_buffer words = {0};
            byte_buffer_printf(&words, "proto @%s %s%c", names[i], endings[way], '\0');
            struct run run = run_words((const char *)words.data);
            char message[100];
            snprintf(message, sizeof message, "pickle: calls %s at byte 10", names[i]);
            if (run.status != UTTER_ERROR_UNSUPPORTED || !strstr(run.err.message, message)) {
                fail_msg("%s: %s", names[i], run.status ? run.err.message : "accepted");
            }
            drop(&run);
            byte_buffer_free(&words);
        }
    }
    static const struct {
        const char *words, *message;
    } cases[] = {
        {"proto $8C026F73 $8C0673797374656D $93 ) R .", "calls os.system at byte 1016"},
        {"proto @torch._tensor._rebuild_from_type_v2 ( @os.system N ( 'id' t } t R .",
         "calls os.system"},
        {"proto @torch._tensor._rebuild_from_type_v2 ( @torch.Size N ( 'id' t } t R .",
         "calls torch.Size"},
        {"proto @torch._tensor._rebuild_from_type_v2 ( @torch._tensor._rebuild_from_type_v2 N ) } t R .",
         "calls torch._tensor._rebuild_from_type_v2"},
        {"proto @torch._tensor._rebuild_from_type_v2 ( 1 N ) } t R .",
         "a call of something that is no global"},
        {"proto 'os.system' ) R .", "a call of something that is no global"},
        {"proto @torch.Size ) R ) R .", "a call of something that is no global"},
        {"proto $8C0A6F730A73797374656D0A $8C0172 $93 ) R .", "calls os?system?.r"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct run run = run_words(cases[i].words);
        if (!run.status || !strstr(run.err.message, cases[i].message)) {
            fail_msg("%s: %s", cases[i].words, run.status ? run.err.message : "accepted");
        }
        drop(&run);
    }
}

/* All opcodes but those of the reader's list are refused by their number. */
static void test_unknown_opcodes(void **state) {
    static const uint8_t known[] =
        "\x80\x95.N\x88\x89}])\x8FJKM\x8AGX\x8C\x8DUTCB(02qr\x94hjt\x85\x86\x87"
        "ae\x90suc\x93R\x81"
        "bQ";
    size_t n_unknown = 0;
    for (int opcode = 0; opcode < 256; opcode++) {
        uint8_t bytes[] = {0x80, 2, ')', (uint8_t)opcode, 0, 0, 0, 0, '.'};
        char message[60];
        if (memchr(known, opcode, sizeof known - 1)) {
            continue;
        }
        struct run run = run_bytes(bytes, sizeof bytes);
        snprintf(message, sizeof message, "pickle: opcode 0x%02X at byte 1003", opcode);
        assert_int_equal(run.status, UTTER_ERROR_UNSUPPORTED);
        assert_non_null(strstr(run.err.message, message));
        drop(&run);
        n_unknown++;
    }
    assert_int_equal(n_unknown, 256 - (sizeof known - 1));
}

static const char all_opcodes[] =
    "proto $950000000000000000 ] ( N True False } ) $8F ( 1 $90 1 $4B01 $4D0100 $8A0101 "
    "$473FF0000000000000 'a' $8C0161 $8D010000000000000061 $550161 $540100000061 $430161 "
    "$420100000061 =0 $7201000000 $94 *0 $6A01000000 ( t 1 T1 1 1 T2 1 1 1 T3 ] 1 a } 'k' 1 s "
    "] ( 1 e } ( 'k' 1 u @a.b 'c' 'd' $93 @torch.Size ) R @torch.Size ) $81 } b 1 T1 Q 1 $32 $30 e .";

static void test_truncated(void **state) {
    struct byte_buffer bytes = {0};
    pickle_write(&bytes, all_opcodes);
    for (size_t n = 0; n <= bytes.n; n++) {
        struct run run = run_bytes(bytes.data, n);
        assert_int_equal(run.status, n == bytes.n ? UTTER_OK : UTTER_ERROR_FORMAT);
        assert_true(run.status || run.pickle.n == n);
        drop(&run);
    }
    byte_buffer_append(&bytes, "behind", 6);
    struct run run = run_bytes(bytes.data, bytes.n);
    assert_int_equal(run.status, UTTER_OK);
    assert_int_equal(run.pickle.n, bytes.n - 6);
    drop(&run);
    byte_buffer_free(&bytes);
}

/* A million of each thing, and one more. */
static void test_limits(void **state) {
    static const struct {
        const char *begin, *item;
    } cases[] = {
        {"proto", ")"}, {"proto ) =0", "*0"}, {"proto", "("}, {"proto ] ) =1 $30", "*1 a"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct byte_buffer bytes = {0}, item = {0};
        pickle_write(&bytes, cases[i].begin);
        pickle_write(&item, cases[i].item);
        for (size_t k = 0; k <= UT_PICKLE_MAX_OBJECTS; k++) {
            byte_buffer_append(&bytes, item.data, item.n);
        }
        struct run run = run_bytes(bytes.data, bytes.n);
        assert_int_equal(run.status, UTTER_ERROR_FORMAT);
        assert_non_null(strstr(run.err.message, "pickle: more than 1048512 objects at byte "));
        drop(&run);
        bytes.n -= 1000 * item.n;
        run = run_bytes(bytes.data, bytes.n);
        assert_non_null(strstr(run.err.message, "an opcode that is cut off"));
        drop(&run);
        byte_buffer_free(&bytes);
        byte_buffer_free(&item);
    }
}

/* What a small file may hold is less. */
static void test_file_size_limits(void **state) {
    struct byte_buffer bytes = {0};
    struct ut_blocks blocks;
    struct ut_pickle pickle;
    utter_error err;
    pickle_write(&bytes, "proto");
    memset(byte_buffer_insert(&bytes, bytes.n, 900000), ')', 900000);
    ut_blocks_init(&blocks, &mem, 1000, 0);
    assert_int_equal(ut_pickle_read(&pickle, bytes.data, bytes.n, 0, &blocks, &err),
                     UTTER_ERROR_FORMAT);
    assert_non_null(strstr(err.message, "the file describes more than its size allows"));
    ut_blocks_free(&blocks);
    byte_buffer_free(&bytes);
}

/* Nested pairs of the same thing: 2^1000 leaves, three objects a level at most. */
static void test_memo_bomb(void **state) {
    struct byte_buffer bytes = {0};
    pickle_write(&bytes, "proto ) =0");
    for (int level = 0; level < 1000; level++) {
        pickle_write(&bytes, "*0 T2 =0");
    }
    pickle_write(&bytes, ".");
    struct run run = run_bytes(bytes.data, bytes.n);
    assert_int_equal(run.status, UTTER_OK);
    assert_true(run.pickle.objects.n < 1100 && run.pickle.cells.n < 2100);
    drop(&run);
    byte_buffer_free(&bytes);
}

static void test_getters(void **state) {
    struct run run = run_words("proto ( } 'a' 1 s 'b' 2 s 'a' 3 s ] ( 4 5 6 e @m.n $430161 t .");
    const struct ut_pickle *pickle = &run.pickle;
    uint32_t items[4], numbers[2];
    assert_int_equal(run.status, UTTER_OK);
    assert_int_equal(ut_pickle_items(pickle, pickle->root, items, 4), 4);
    assert_int_equal(ut_pickle_object(pickle, ut_pickle_member(pickle, items[0], "a"))->integer, 3);
    assert_int_equal(ut_pickle_member(pickle, items[0], "c"), 0);
    assert_int_equal(ut_pickle_member(pickle, items[1], "a"), 0);
    assert_int_equal(ut_pickle_items(pickle, items[1], numbers, 2), 3);
    assert_int_equal(ut_pickle_object(pickle, numbers[1])->integer, 5);
    assert_int_equal(ut_pickle_items(pickle, items[0], numbers, 2), 0);
    assert_true(ut_pickle_global_is(pickle, items[2], "m", "n"));
    assert_false(ut_pickle_global_is(pickle, items[2], "m", "nn"));
    assert_false(ut_pickle_global_is(pickle, items[2], "n", "n"));
    assert_false(ut_pickle_global_is(pickle, items[1], "m", "n"));
    assert_false(ut_pickle_text_is(pickle, items[3], "a")); /* bytes are no text */
    char name[3];
    ut_pickle_global_name(pickle, items[2], name, sizeof name);
    assert_string_equal(name, "m.");
    drop(&run);
}

static void test_allocation(void **state) {
    struct byte_buffer bytes = {0};
    struct sweep sweep;
    pickle_write(&bytes, "proto ]");
    for (int i = 0; i < 3000; i++) {
        pickle_write(&bytes, "( 1 =3 $7200100000 e");
    }
    pickle_write(&bytes, ".");
    for (sweep_start(&sweep, &mem, false); sweep_next(&sweep);) {
        struct run run = run_bytes(bytes.data, bytes.n);
        utter_status status = run.status;
        drop(&run);
        sweep_check(&sweep, status);
    }
    assert_true(sweep.n_injected >= 4);
    byte_buffer_free(&bytes);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_values, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rules, setup, teardown),
        cmocka_unit_test_setup_teardown(test_calls, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unknown_opcodes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_truncated, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_file_size_limits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_memo_bomb, setup, teardown),
        cmocka_unit_test_setup_teardown(test_getters, setup, teardown),
        cmocka_unit_test_setup_teardown(test_allocation, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
