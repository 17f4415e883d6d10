/* The pickle machine (Lib/pickletools.py of CPython names the opcodes), reduced to what torch.save
 * writes: a stack of references, a memo of references, and objects that are only ever described. No
 * name is looked up and nothing is called: REDUCE and NEWOBJ of a listed name make an object of a
 * kind we know, of any other name they end the reading. Not read: protocols 0, 1 and 5, opcodes
 * that torch does not write. */
#include "weights/pickle.h"

#include <stdio.h>
#include <string.h>

#include "base/checked.h"

/* Offsets in the pickle are kept in 32 bits. */
enum { MAX_PICKLE_BYTES = INT32_MAX };

/* Stack, marks and memo hold numbers of objects; 0 is none. */
struct machine {
    struct ut_pickle *pickle;
    const uint8_t *data;
    size_t n, pos;
    size_t at; /* of the opcode at work */
    struct ut_pickle_pool stack, marks, memo;
    uint32_t fence;  /* height of the stack at the last MARK */
    uint32_t n_memo; /* entries that were written */
    bool stopped;
    struct ut_blocks *blocks;
    utter_error *err;
};

/* ---- Pools ---------------------------------------------------------------------------------- */

/* Chunk k holds 64 << k items and begins at item 64 * (2^k - 1); i / 64 + 1 has its highest bit at
 * k. NULL for an item whose chunk was never reached. */
static void *pool_at(const struct ut_pickle_pool *pool, uint32_t i) {
    uint32_t position = i / UT_PICKLE_FIRST_CHUNK + 1;
    int k = 31 - __builtin_clz(position);
    uint32_t first = UT_PICKLE_FIRST_CHUNK * ((1u << k) - 1);
    return pool->chunks[k] ? pool->chunks[k] + (size_t)(i - first) * pool->item_bytes : NULL;
}

/* The item, with its chunk allocated and zeroed; i < UT_PICKLE_MAX_OBJECTS. */
static void *pool_reach(struct machine *m, struct ut_pickle_pool *pool, uint32_t i) {
    int k = 31 - __builtin_clz(i / UT_PICKLE_FIRST_CHUNK + 1);
    if (!pool->chunks[k]) {
        pool->chunks[k] = ut_blocks_alloc(m->blocks, (size_t)UT_PICKLE_FIRST_CHUNK << k,
                                          pool->item_bytes, m->err);
    }
    return pool->chunks[k] ? pool_at(pool, i) : NULL;
}

/* Offsets are those in the whole file, so that a message leads to the byte in a hex editor. */
static utter_status fail_code(struct machine *m, utter_status code, const char *what) {
    return ut_fail(m->err, code, "pickle: %s at byte %zu", what, m->pickle->file_offset + m->at);
}

static utter_status fail(struct machine *m, const char *what) {
    return fail_code(m, UTTER_ERROR_FORMAT, what);
}

/* One more item, its number in *number. */
static utter_status pool_add(struct machine *m, struct ut_pickle_pool *pool, void *out,
                             uint32_t *number) {
    if (pool->n == UT_PICKLE_MAX_OBJECTS) {
        return ut_fail(m->err, UTTER_ERROR_FORMAT, "pickle: more than %d objects at byte %zu",
                       UT_PICKLE_MAX_OBJECTS, m->pickle->file_offset + m->at);
    }
    void *item = pool_reach(m, pool, pool->n);
    if (!item) {
        return m->blocks->status;
    }
    *number = pool->n++;
    memcpy(out, &item, sizeof item);
    return UTTER_OK;
}

/* ---- Stack ---------------------------------------------------------------------------------- */

/* Values are only ever references: duplicating one copies four bytes. */
static utter_status push(struct machine *m, uint32_t object) {
    uint32_t *slot = NULL, number;
    utter_status status = pool_add(m, &m->stack, &slot, &number);
    if (!status) {
        *slot = object;
    }
    return status;
}

/* Positions below the height have been pushed, so their chunk is there. */
static uint32_t stacked(const struct machine *m, uint32_t position) {
    return *(uint32_t *)pool_at(&m->stack, position);
}

/* What stands above the last MARK is all that an opcode may take. */
static utter_status need(struct machine *m, uint32_t n) {
    return m->stack.n - m->fence >= n ? UTTER_OK : fail(m, "too few values on the stack");
}

/* top and pop: callers have asked `need` before. */
static uint32_t top(const struct machine *m) {
    return stacked(m, m->stack.n - 1);
}

static uint32_t pop(struct machine *m) {
    uint32_t object = top(m);
    m->stack.n--;
    return object;
}

/* Removes the last MARK; the values above it stay, *begin is the first. */
static utter_status pop_mark(struct machine *m, uint32_t *begin) {
    if (m->marks.n == 0) {
        return fail(m, "no mark on the stack");
    }
    *begin = m->fence;
    m->marks.n--;
    m->fence = m->marks.n > 0 ? *(uint32_t *)pool_at(&m->marks, m->marks.n - 1) : 0;
    return UTTER_OK;
}

/* ---- Objects -------------------------------------------------------------------------------- */

/* A new object of the kind, with nothing in it. */
static utter_status create(struct machine *m, enum ut_pickle_kind kind, uint32_t *number,
                           struct ut_pickle_object **out) {
    utter_status status = pool_add(m, &m->pickle->objects, out, number);
    if (!status) {
        **out = (struct ut_pickle_object){.kind = (uint8_t)kind, .at = (uint32_t)m->at};
    }
    return status;
}

/* A new object that stands on the stack at once. *out stays valid: chunks never move. */
static utter_status push_new(struct machine *m, enum ut_pickle_kind kind,
                             struct ut_pickle_object **out) {
    uint32_t number;
    utter_status status = create(m, kind, &number, out);
    return status ? status : push(m, number);
}

/* Behind the object's last: items keep their order, and adding n of them takes linear time. */
static utter_status add_cell(struct machine *m, struct ut_pickle_object *object, uint32_t key,
                             uint32_t value) {
    struct ut_pickle_cell *cell;
    uint32_t number;
    utter_status status = pool_add(m, &m->pickle->cells, &cell, &number);
    if (status) {
        return status;
    }
    *cell = (struct ut_pickle_cell){.key = key, .value = value};
    if (object->last) {
        ((struct ut_pickle_cell *)pool_at(&m->pickle->cells, object->last))->next = number;
    } else {
        object->first = number;
    }
    object->last = number;
    return UTTER_OK;
}

/* ---- Bytes ---------------------------------------------------------------------------------- */

/* All that opcodes read comes through here or take_line, the two places that check for the end. */
static utter_status take(struct machine *m, size_t n, const uint8_t **out) {
    if (n > m->n - m->pos) {
        return fail(m, "an opcode that is cut off");
    }
    *out = m->data + m->pos;
    m->pos += n;
    return UTTER_OK;
}

/* A little-endian number of 1 to 8 bytes. */
static utter_status take_number(struct machine *m, size_t n_bytes, uint64_t *out) {
    const uint8_t *bytes = NULL;
    utter_status status = take(m, n_bytes, &bytes);
    *out = 0;
    if (!status) {
        memcpy(out, bytes, n_bytes);
    }
    return status;
}

/* ---- Opcodes: plain values ------------------------------------------------------------------ */

/* The first opcode, and nowhere else. */
static utter_status run_proto(struct machine *m, int a, int b) {
    uint64_t version;
    utter_status status = take_number(m, 1, &version);
    if (status) {
        return status;
    }
    return m->at == 0 && version >= 2 && version <= 4
               ? UTTER_OK
               : fail_code(m, UTTER_ERROR_UNSUPPORTED, "no pickle of protocol 2 to 4");
}

/* Protocol 4 groups opcodes into frames; their length is checked and otherwise of no interest. */
static utter_status run_frame(struct machine *m, int a, int b) {
    uint64_t n_bytes;
    utter_status status = take_number(m, 8, &n_bytes);
    if (status) {
        return status;
    }
    return n_bytes <= m->n - m->pos ? UTTER_OK : fail(m, "a frame that is cut off");
}

/* a: the kind, b: the value. */
static utter_status run_constant(struct machine *m, int a, int b) {
    struct ut_pickle_object *object = NULL;
    utter_status status = push_new(m, (enum ut_pickle_kind)a, &object);
    if (!status && a == UT_PICKLE_BOOL) {
        object->integer = b;
    }
    return status;
}

/* a: bytes; only those of four have a sign. */
static utter_status run_integer(struct machine *m, int a, int b) {
    uint64_t value;
    struct ut_pickle_object *object = NULL;
    utter_status status = take_number(m, (size_t)a, &value);
    if (!status) {
        status = push_new(m, UT_PICKLE_INTEGER, &object);
    }
    if (!status) {
        object->integer = a == 4 ? (int32_t)value : (int64_t)value;
    }
    return status;
}

/* A two's complement integer of 0 to 255 bytes, little-endian. Only those beyond 64 bits are kept
 * as bytes: the old format's magic number is one. */
static utter_status run_long(struct machine *m, int a, int b) {
    uint64_t n_bytes, value = 0;
    const uint8_t *bytes = NULL;
    struct ut_pickle_object *object = NULL;
    utter_status status = take_number(m, 1, &n_bytes);
    if (status || (status = take(m, n_bytes, &bytes)) ||
        (status = push_new(m, n_bytes > 8 ? UT_PICKLE_LONG : UT_PICKLE_INTEGER, &object))) {
        return status;
    }
    if (n_bytes > 8) {
        object->begin = (uint32_t)(bytes - m->data);
        object->n = (uint32_t)n_bytes;
        return UTTER_OK;
    }
    memcpy(&value, bytes, n_bytes);
    if (n_bytes > 0 && n_bytes < 8 && value >> (8 * n_bytes - 1)) {
        value |= UINT64_MAX << (8 * n_bytes); /* two's complement */
    }
    object->integer = (int64_t)value;
    return UTTER_OK;
}

/* Described only: no tensor's shape or name depends on a float, so its value is dropped. */
static utter_status run_float(struct machine *m, int a, int b) {
    const uint8_t *bytes = NULL;
    struct ut_pickle_object *object = NULL;
    utter_status status = take(m, 8, &bytes);
    return status ? status : push_new(m, UT_PICKLE_FLOAT, &object);
}

/* a: the kind, b: bytes of the length in front. */
static utter_status run_text(struct machine *m, int a, int b) {
    uint64_t n_bytes;
    const uint8_t *bytes = NULL;
    struct ut_pickle_object *object = NULL;
    utter_status status = take_number(m, (size_t)b, &n_bytes);
    if (status || (status = take(m, n_bytes, &bytes)) ||
        (status = push_new(m, (enum ut_pickle_kind)a, &object))) {
        return status;
    }
    object->begin = (uint32_t)(bytes - m->data);
    object->n = (uint32_t)n_bytes;
    return UTTER_OK;
}

/* ---- Opcodes: stack and memo ---------------------------------------------------------------- */

/* Opcodes may not take what is below a mark: the fence is the height of the stack there. */
static utter_status run_mark(struct machine *m, int a, int b) {
    uint32_t *slot = NULL, number;
    utter_status status = pool_add(m, &m->marks, &slot, &number);
    if (!status) {
        *slot = m->fence = m->stack.n;
    }
    return status;
}

/* POP takes a value only, never a mark: torch does not write that. */
static utter_status run_pop(struct machine *m, int a, int b) {
    utter_status status = need(m, 1);
    if (!status) {
        pop(m);
    }
    return status;
}

/* The same object once more, not a copy of it. */
static utter_status run_dup(struct machine *m, int a, int b) {
    utter_status status = need(m, 1);
    return status ? status : push(m, top(m));
}

/* a: bytes of the index; 0: the number of entries so far. */
static utter_status run_put(struct machine *m, int a, int b) {
    uint64_t index = m->n_memo;
    utter_status status = need(m, 1);
    if (status || (a > 0 && (status = take_number(m, (size_t)a, &index)))) {
        return status;
    }
    if (index >= UT_PICKLE_MAX_OBJECTS) {
        return fail(m, "a memo entry beyond the limit");
    }
    uint32_t *slot = pool_reach(m, &m->memo, (uint32_t)index);
    if (!slot) {
        return m->blocks->status;
    }
    m->n_memo += *slot == 0;
    *slot = top(m);
    return UTTER_OK;
}

/* An entry beyond the pool's chunks or of 0 was never written. */
static utter_status run_get(struct machine *m, int a, int b) {
    uint64_t index;
    utter_status status = take_number(m, (size_t)a, &index);
    if (status) {
        return status;
    }
    const uint32_t *slot =
        index < UT_PICKLE_MAX_OBJECTS ? pool_at(&m->memo, (uint32_t)index) : NULL;
    return slot && *slot ? push(m, *slot) : fail(m, "a memo entry that was never written");
}

/* Exactly one value is left in a pickle that is whole. */
static utter_status run_stop(struct machine *m, int a, int b) {
    if (m->stack.n != 1 || m->marks.n != 0) {
        return fail(m, "the end with other than one value on the stack");
    }
    m->pickle->root = top(m);
    m->stopped = true;
    return UTTER_OK;
}

/* ---- Opcodes: containers -------------------------------------------------------------------- */

/* The stack from `begin` on becomes a tuple. */
static utter_status make_tuple(struct machine *m, uint32_t begin) {
    struct ut_pickle_object *tuple;
    uint32_t number;
    utter_status status = create(m, UT_PICKLE_TUPLE, &number, &tuple);
    for (uint32_t i = begin; !status && i < m->stack.n; i++) {
        status = add_cell(m, tuple, 0, stacked(m, i));
    }
    m->stack.n = begin;
    return status ? status : push(m, number);
}

/* a: values; 0: those above the mark. */
static utter_status run_tuple(struct machine *m, int a, int b) {
    uint32_t begin;
    utter_status status = a > 0 ? need(m, (uint32_t)a) : pop_mark(m, &begin);
    if (!status && a > 0) {
        begin = m->stack.n - (uint32_t)a;
    }
    return status ? status : make_tuple(m, begin);
}

/* The object below `begin`, where the values for it start: of `kind`, or one that is not looked
 * into. */
static utter_status receiver(struct machine *m, uint32_t begin, enum ut_pickle_kind kind,
                             struct ut_pickle_object **out) {
    if (begin <= m->fence) {
        return fail(m, "too few values on the stack");
    }
    *out = ut_pickle_object(m->pickle, stacked(m, begin - 1));
    return (*out)->kind == kind || (*out)->kind == UT_PICKLE_OPAQUE
               ? UTTER_OK
               : fail(m, "items for something that does not hold any");
}

/* a: the kind that takes them, b: whether there is one instead of all above the mark. */
static utter_status run_append(struct machine *m, int a, int b) {
    uint32_t begin = 0;
    utter_status status = b ? need(m, 2) : pop_mark(m, &begin);
    if (!status && b) {
        begin = m->stack.n - 1;
    }
    struct ut_pickle_object *object = NULL;
    if (status || (status = receiver(m, begin, (enum ut_pickle_kind)a, &object))) {
        return status;
    }
    for (uint32_t i = begin; !status && i < m->stack.n; i++) {
        status = add_cell(m, object, 0, stacked(m, i));
    }
    m->stack.n = begin;
    return status;
}

/* b: whether there is one key with its value. */
static utter_status run_set_items(struct machine *m, int a, int b) {
    uint32_t begin = 0;
    utter_status status = b ? need(m, 3) : pop_mark(m, &begin);
    if (!status && b) {
        begin = m->stack.n - 2;
    }
    struct ut_pickle_object *object = NULL;
    if (status || (status = receiver(m, begin, UT_PICKLE_MAP, &object))) {
        return status;
    }
    if ((m->stack.n - begin) % 2 != 0) {
        return fail(m, "a key without a value");
    }
    for (uint32_t i = begin; !status && i < m->stack.n; i += 2) {
        status = add_cell(m, object, stacked(m, i), stacked(m, i + 1));
    }
    m->stack.n = begin;
    return status;
}

/* ---- Opcodes: globals and calls ------------------------------------------------------------- */

/* A name, and no more: whether it may be called is asked by run_call, whether it is a storage class
 * or a dtype by those who read tensors. */
static utter_status push_global(struct machine *m, uint32_t module, uint32_t name) {
    struct ut_pickle_object *global;
    uint32_t number;
    utter_status status = create(m, UT_PICKLE_GLOBAL, &number, &global);
    if (!status) {
        status = add_cell(m, global, module, name);
    }
    return status ? status : push(m, number);
}

/* A line of text as a string. */
static utter_status take_line(struct machine *m, uint32_t *number) {
    const uint8_t *begin = m->data + m->pos, *end = memchr(begin, '\n', m->n - m->pos);
    struct ut_pickle_object *text;
    if (!end) {
        return fail(m, "an opcode that is cut off");
    }
    utter_status status = create(m, UT_PICKLE_STRING, number, &text);
    if (!status) {
        text->begin = (uint32_t)m->pos;
        text->n = (uint32_t)(end - begin);
        m->pos += text->n + 1;
    }
    return status;
}

/* Two lines of text: module and name. */
static utter_status run_global(struct machine *m, int a, int b) {
    uint32_t module, name;
    utter_status status = take_line(m, &module);
    if (!status) {
        status = take_line(m, &name);
    }
    return status ? status : push_global(m, module, name);
}

/* Protocol 4: module and name are strings on the stack. */
static utter_status run_stack_global(struct machine *m, int a, int b) {
    utter_status status = need(m, 2);
    if (status) {
        return status;
    }
    uint32_t name = pop(m), module = pop(m);
    if (ut_pickle_object(m->pickle, module)->kind != UT_PICKLE_STRING ||
        ut_pickle_object(m->pickle, name)->kind != UT_PICKLE_STRING) {
        return fail(m, "a global whose name is no string");
    }
    return push_global(m, module, name);
}

/* What becomes of a call, by the name that is called. */
enum call {
    CALL_REFUSED,
    CALL_OPAQUE,      /* training extras: data that nobody looks into */
    CALL_MAP,         /* nothing, or a list of pairs */
    CALL_DEFAULT_MAP, /* a factory, which is not called either */
    CALL_TENSOR,
    CALL_INNER,       /* stands for its first argument, a tensor */
    CALL_BY_ARGUMENT, /* (function, type, arguments, state): a tensor's function */
};

/* name NULL: all of the module and of those below it. */
static const struct {
    const char *module, *name;
    enum call call;
} callables[] = {
    {"collections", "OrderedDict", CALL_MAP},
    {"collections", "defaultdict", CALL_DEFAULT_MAP},
    {"torch._utils", "_rebuild_tensor", CALL_TENSOR},
    {"torch._utils", "_rebuild_tensor_v2", CALL_TENSOR},
    {"torch._utils", "_rebuild_tensor_v3", CALL_TENSOR},
    {"torch._utils", "_rebuild_parameter", CALL_INNER},
    {"torch._utils", "_rebuild_parameter_with_state", CALL_INNER},
    {"torch._tensor", "_rebuild_from_type_v2", CALL_BY_ARGUMENT},
    {"torch", "Size", CALL_OPAQUE},
    {"torch", "device", CALL_OPAQUE},
    {"torch.serialization", "_get_layout", CALL_OPAQUE},
    {"collections", "Counter", CALL_OPAQUE},
    {"builtins", "set", CALL_OPAQUE},
    {"builtins", "frozenset", CALL_OPAQUE},
    {"builtins", "complex", CALL_OPAQUE},
    {"builtins", "slice", CALL_OPAQUE},
    {"__builtin__", "set", CALL_OPAQUE},
    {"__builtin__", "frozenset", CALL_OPAQUE},
    {"__builtin__", "complex", CALL_OPAQUE},
    {"__builtin__", "slice", CALL_OPAQUE},
    {"_codecs", "encode", CALL_OPAQUE},
    {"numpy", "dtype", CALL_OPAQUE},
    {"numpy.core.multiarray", "scalar", CALL_OPAQUE},
    {"numpy.core.multiarray", "_reconstruct", CALL_OPAQUE},
    {"numpy._core.multiarray", "scalar", CALL_OPAQUE},
    {"numpy._core.multiarray", "_reconstruct", CALL_OPAQUE},
    {"argparse", "Namespace", CALL_OPAQUE},
    {"pathlib", "PosixPath", CALL_OPAQUE},
    {"pathlib", "WindowsPath", CALL_OPAQUE},
    {"pathlib._local", "PosixPath", CALL_OPAQUE},
    {"pathlib._local", "WindowsPath", CALL_OPAQUE},
    {"omegaconf", NULL, CALL_OPAQUE},
};

/* "omegaconf" is also the module of "omegaconf.listconfig", but not of "omegaconfig". */
static bool module_matches(const char *text, size_t n, const char *module, bool with_below) {
    size_t n_module = strlen(module);
    return n >= n_module && memcmp(text, module, n_module) == 0 &&
           (n == n_module || (with_below && text[n_module] == '.'));
}

/* CALL_REFUSED for everything that is not in the table, and for what is no global at all. */
static enum call call_of(const struct ut_pickle *pickle, uint32_t callee) {
    const struct ut_pickle_object *object = ut_pickle_object(pickle, callee);
    if (object->kind != UT_PICKLE_GLOBAL) {
        return CALL_REFUSED;
    }
    const struct ut_pickle_cell *cell = ut_pickle_cell(pickle, object->first);
    size_t n_module;
    const char *module = ut_pickle_text(pickle, cell->key, &n_module);
    for (size_t i = 0; i < UT_COUNT(callables); i++) {
        if (module_matches(module, n_module, callables[i].module, !callables[i].name) &&
            (!callables[i].name || ut_pickle_text_is(pickle, cell->value, callables[i].name))) {
            return callables[i].call;
        }
    }
    return CALL_REFUSED;
}

static utter_status fail_call(struct machine *m, uint32_t callee) {
    char name[160];
    if (ut_pickle_object(m->pickle, callee)->kind != UT_PICKLE_GLOBAL) {
        return fail(m, "a call of something that is no global");
    }
    ut_pickle_global_name(m->pickle, callee, name, sizeof name);
    return ut_fail(
        m->err, UTTER_ERROR_UNSUPPORTED,
        "pickle: calls %s at byte %zu; nothing a file names is run: save a dictionary of "
        "tensors (state_dict)",
        name, m->pickle->file_offset + m->at);
}

/* Pairs of a list or tuple into the map: OrderedDict([[key, value], ...]) of Python 2. */
static utter_status add_pairs(struct machine *m, struct ut_pickle_object *map, uint32_t pairs) {
    const struct ut_pickle_object *list = ut_pickle_object(m->pickle, pairs);
    if (list->kind != UT_PICKLE_LIST && list->kind != UT_PICKLE_TUPLE) {
        return fail(m, "a map of something that is no list of pairs");
    }
    for (uint32_t c = list->first; c;) {
        const struct ut_pickle_cell *cell = ut_pickle_cell(m->pickle, c);
        uint32_t pair[2];
        if (ut_pickle_items(m->pickle, cell->value, pair, 2) != 2) {
            return fail(m, "a map of something that is no list of pairs");
        }
        utter_status status = add_cell(m, map, pair[0], pair[1]);
        if (status) {
            return status;
        }
        c = cell->next;
    }
    return UTTER_OK;
}

/* The factory of a defaultdict is its argument; it is described like any value and dropped. */
static utter_status call_map(struct machine *m, enum call call, uint32_t arguments) {
    uint32_t argument[1];
    size_t n = ut_pickle_items(m->pickle, arguments, argument, 1);
    struct ut_pickle_object *map;
    uint32_t number;
    if (n > 1) {
        return fail(m, "a map with more than one argument");
    }
    utter_status status = create(m, UT_PICKLE_MAP, &number, &map);
    if (!status && n == 1 && call == CALL_MAP) {
        status = add_pairs(m, map, argument[0]);
    }
    return status ? status : push(m, number);
}

/* A tensor, or an object that is not looked into: what would make it, kept for later. */
static utter_status call_described(struct machine *m, enum ut_pickle_kind kind, uint32_t callee,
                                   uint32_t arguments) {
    struct ut_pickle_object *object = NULL;
    uint32_t number;
    utter_status status = create(m, kind, &number, &object);
    if (!status) {
        status = add_cell(m, object, callee, arguments);
    }
    return status ? status : push(m, number);
}

/* _rebuild_parameter(tensor, ...): what is around the tensor is for training. */
static utter_status call_inner(struct machine *m, uint32_t arguments) {
    uint32_t inner[1];
    if (ut_pickle_items(m->pickle, arguments, inner, 1) == 0 ||
        ut_pickle_object(m->pickle, inner[0])->kind != UT_PICKLE_TENSOR) {
        return fail(m, "a parameter of something that is no tensor");
    }
    return push(m, inner[0]);
}

/* _rebuild_from_type_v2(function, type, arguments, state): the tensor that the inner call would
 * make. */
static utter_status call_by_argument(struct machine *m, uint32_t arguments) {
    uint32_t argument[3];
    if (ut_pickle_items(m->pickle, arguments, argument, 3) < 3) {
        return fail(m, "too few arguments for a tensor");
    }
    switch (call_of(m->pickle, argument[0])) {
    case CALL_TENSOR:
        return call_described(m, UT_PICKLE_TENSOR, argument[0], argument[2]);
    case CALL_INNER:
        return call_inner(m, argument[2]);
    default:
        return fail_call(m, argument[0]);
    }
}

/* REDUCE calls a function, NEWOBJ a class; the names tell which is which. */
static utter_status run_call(struct machine *m, int a, int b) {
    utter_status status = need(m, 2);
    if (status) {
        return status;
    }
    uint32_t arguments = pop(m), callee = pop(m);
    enum call call = call_of(m->pickle, callee);
    if (call != CALL_REFUSED && ut_pickle_object(m->pickle, arguments)->kind != UT_PICKLE_TUPLE) {
        return fail(m, "a call whose arguments are no tuple");
    }
    switch (call) {
    case CALL_OPAQUE:
        return call_described(m, UT_PICKLE_OPAQUE, callee, arguments);
    case CALL_MAP:
    case CALL_DEFAULT_MAP:
        return call_map(m, call, arguments);
    case CALL_TENSOR:
        return call_described(m, UT_PICKLE_TENSOR, callee, arguments);
    case CALL_INNER:
        return call_inner(m, arguments);
    case CALL_BY_ARGUMENT:
        return call_by_argument(m, arguments);
    default:
        return fail_call(m, callee);
    }
}

/* The state of a map (_metadata of a state dict) and of a tensor is of no use; that of other
 * objects is kept, because a tensor may hide there. */
static utter_status run_build(struct machine *m, int a, int b) {
    utter_status status = need(m, 2);
    if (status) {
        return status;
    }
    uint32_t state = pop(m);
    struct ut_pickle_object *object = ut_pickle_object(m->pickle, top(m));
    switch (object->kind) {
    case UT_PICKLE_MAP:
    case UT_PICKLE_TENSOR:
        return UTTER_OK;
    case UT_PICKLE_OPAQUE:
        return add_cell(m, object, 0, state);
    default:
        return fail(m, "a state for something that has none");
    }
}

/* torch writes storages as persistent ids: a tuple that find_storage takes apart. */
static utter_status run_persistent_id(struct machine *m, int a, int b) {
    utter_status status = need(m, 1);
    if (status) {
        return status;
    }
    uint32_t id = pop(m), number;
    if (ut_pickle_object(m->pickle, id)->kind != UT_PICKLE_TUPLE) {
        return fail(m, "a persistent id that is no tuple");
    }
    struct ut_pickle_object *storage;
    status = create(m, UT_PICKLE_STORAGE, &number, &storage);
    if (!status) {
        status = add_cell(m, storage, 0, id);
    }
    return status ? status : push(m, number);
}

/* ---- The machine ---------------------------------------------------------------------------- */

/* What an opcode does, by its byte, and what it is told; a byte without an entry ends the
 * reading. */
static const struct {
    utter_status (*run)(struct machine *m, int a, int b);
    int a, b;
} opcodes[256] = {
    [0x80] = {run_proto, 0, 0},
    [0x95] = {run_frame, 0, 0},
    ['.'] = {run_stop, 0, 0},
    ['N'] = {run_constant, UT_PICKLE_NONE, 0},
    [0x88] = {run_constant, UT_PICKLE_BOOL, 1},
    [0x89] = {run_constant, UT_PICKLE_BOOL, 0},
    ['}'] = {run_constant, UT_PICKLE_MAP, 0},
    [']'] = {run_constant, UT_PICKLE_LIST, 0},
    [')'] = {run_constant, UT_PICKLE_TUPLE, 0},
    [0x8F] = {run_constant, UT_PICKLE_SET, 0},
    ['J'] = {run_integer, 4, 0},
    ['K'] = {run_integer, 1, 0},
    ['M'] = {run_integer, 2, 0},
    [0x8A] = {run_long, 0, 0},
    ['G'] = {run_float, 0, 0},
    ['X'] = {run_text, UT_PICKLE_STRING, 4},
    [0x8C] = {run_text, UT_PICKLE_STRING, 1},
    [0x8D] = {run_text, UT_PICKLE_STRING, 8},
    ['U'] = {run_text, UT_PICKLE_STRING, 1},
    ['T'] = {run_text, UT_PICKLE_STRING, 4},
    ['C'] = {run_text, UT_PICKLE_BYTES, 1},
    ['B'] = {run_text, UT_PICKLE_BYTES, 4},
    ['('] = {run_mark, 0, 0},
    ['0'] = {run_pop, 0, 0},
    ['2'] = {run_dup, 0, 0},
    ['q'] = {run_put, 1, 0},
    ['r'] = {run_put, 4, 0},
    [0x94] = {run_put, 0, 0},
    ['h'] = {run_get, 1, 0},
    ['j'] = {run_get, 4, 0},
    ['t'] = {run_tuple, 0, 0},
    [0x85] = {run_tuple, 1, 0},
    [0x86] = {run_tuple, 2, 0},
    [0x87] = {run_tuple, 3, 0},
    ['a'] = {run_append, UT_PICKLE_LIST, 1},
    ['e'] = {run_append, UT_PICKLE_LIST, 0},
    [0x90] = {run_append, UT_PICKLE_SET, 0},
    ['s'] = {run_set_items, 0, 1},
    ['u'] = {run_set_items, 0, 0},
    ['c'] = {run_global, 0, 0},
    [0x93] = {run_stack_global, 0, 0},
    ['R'] = {run_call, 0, 0},
    [0x81] = {run_call, 0, 0},
    ['b'] = {run_build, 0, 0},
    ['Q'] = {run_persistent_id, 0, 0},
};

static utter_status fail_opcode(struct machine *m, uint8_t opcode) {
    return ut_fail(m->err, UTTER_ERROR_UNSUPPORTED,
                   "pickle: opcode 0x%02X at byte %zu, which torch does not write for weights",
                   opcode, m->pickle->file_offset + m->at);
}

/* Object and cell 0 do not exist, so that 0 can mean none. Every opcode reads at least its own
 * byte, so the loop ends; none recurses, however deeply the objects are nested. */
utter_status ut_pickle_read(struct ut_pickle *pickle, const uint8_t *data, size_t n,
                            size_t file_offset, struct ut_blocks *blocks, utter_error *err) {
    *pickle = (struct ut_pickle){
        .data = data,
        .file_offset = file_offset,
        .objects = {.n = 1, .item_bytes = sizeof(struct ut_pickle_object)},
        .cells = {.n = 1, .item_bytes = sizeof(struct ut_pickle_cell)},
    };
    struct machine m = {.pickle = pickle,
                        .data = data,
                        .n = UT_MIN(n, MAX_PICKLE_BYTES), /* offsets are kept in 32 bits */
                        .stack.item_bytes = sizeof(uint32_t),
                        .marks.item_bytes = sizeof(uint32_t),
                        .memo.item_bytes = sizeof(uint32_t),
                        .blocks = blocks,
                        .err = err};
    if (n == 0 || data[0] != 0x80) {
        return fail(&m, "no pickle of protocol 2 to 4");
    }
    while (!m.stopped) {
        const uint8_t *opcode = NULL;
        m.at = m.pos;
        utter_status status = take(&m, 1, &opcode);
        if (!status) {
            status = opcodes[*opcode].run
                         ? opcodes[*opcode].run(&m, opcodes[*opcode].a, opcodes[*opcode].b)
                         : fail_opcode(&m, *opcode);
        }
        if (status) {
            return status;
        }
    }
    pickle->n = m.pos;
    return UTTER_OK;
}

/* ---- Reading the result --------------------------------------------------------------------- */

struct ut_pickle_object *ut_pickle_object(const struct ut_pickle *pickle, uint32_t number) {
    return pool_at(&pickle->objects, number);
}

const struct ut_pickle_cell *ut_pickle_cell(const struct ut_pickle *pickle, uint32_t number) {
    return pool_at(&pickle->cells, number);
}

/* A view of the pickle, without a NUL behind it. */
const char *ut_pickle_text(const struct ut_pickle *pickle, uint32_t number, size_t *n) {
    const struct ut_pickle_object *object = ut_pickle_object(pickle, number);
    *n = 0;
    if (object->kind != UT_PICKLE_STRING && object->kind != UT_PICKLE_BYTES &&
        object->kind != UT_PICKLE_LONG) {
        return NULL;
    }
    *n = object->n;
    return (const char *)pickle->data + object->begin;
}

bool ut_pickle_text_is(const struct ut_pickle *pickle, uint32_t number, const char *text) {
    size_t n;
    const char *here = ut_pickle_text(pickle, number, &n);
    return here && ut_pickle_object(pickle, number)->kind == UT_PICKLE_STRING &&
           n == strlen(text) && memcmp(here, text, n) == 0;
}

bool ut_pickle_global_is(const struct ut_pickle *pickle, uint32_t number, const char *module,
                         const char *name) {
    const struct ut_pickle_object *object = ut_pickle_object(pickle, number);
    if (object->kind != UT_PICKLE_GLOBAL) {
        return false;
    }
    const struct ut_pickle_cell *cell = ut_pickle_cell(pickle, object->first);
    return ut_pickle_text_is(pickle, cell->key, module) &&
           ut_pickle_text_is(pickle, cell->value, name);
}

size_t ut_pickle_items(const struct ut_pickle *pickle, uint32_t number, uint32_t *values,
                       size_t limit) {
    const struct ut_pickle_object *object = ut_pickle_object(pickle, number);
    size_t n = 0;
    if (object->kind != UT_PICKLE_TUPLE && object->kind != UT_PICKLE_LIST) {
        return 0;
    }
    for (uint32_t c = object->first; c && n <= limit; n++) {
        const struct ut_pickle_cell *cell = ut_pickle_cell(pickle, c);
        if (n < limit) {
            values[n] = cell->value;
        }
        c = cell->next;
    }
    return n;
}

uint32_t ut_pickle_member(const struct ut_pickle *pickle, uint32_t map, const char *key) {
    const struct ut_pickle_object *object = ut_pickle_object(pickle, map);
    uint32_t found = 0;
    for (uint32_t c = object->kind == UT_PICKLE_MAP ? object->first : 0; c;) {
        const struct ut_pickle_cell *cell = ut_pickle_cell(pickle, c);
        if (ut_pickle_text_is(pickle, cell->key, key)) {
            found = cell->value;
        }
        c = cell->next;
    }
    return found;
}

void ut_pickle_global_name(const struct ut_pickle *pickle, uint32_t number, char *out,
                           size_t n_out) {
    const struct ut_pickle_cell *cell =
        ut_pickle_cell(pickle, ut_pickle_object(pickle, number)->first);
    size_t n_module, n_name;
    const char *module = ut_pickle_text(pickle, cell->key, &n_module);
    const char *name = ut_pickle_text(pickle, cell->value, &n_name);
    snprintf(out, n_out, "%.*s.%.*s", (int)n_module, module, (int)n_name, name);
}
