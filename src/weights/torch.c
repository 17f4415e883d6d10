/* torch.save files: a zip file with one pickle and one member per storage (torch 1.6 and later), or
 * a stream of five pickles with the storages behind (before). Both hold the same kind of pickle;
 * here are the containers and where a storage's bytes lie. Not read: TorchScript archives, the tar
 * files of torch before 0.4, big-endian files, complex, quantized and 8-bit floating types. */
#include <string.h>

#include "base/checked.h"
#include "base/sort.h"
#include "weights/torch_reader.h"

/* Keys are counters or, in the old format, addresses: 20 digits hold any number of 64 bits. Folder
 * names come from the file's name when it was saved. */
enum { MAX_KEY = 20, MAX_MEMBER_NAME = 1024 };

/* ---- Storages of a pickle ------------------------------------------------------------------- */

/* Storage classes and dtypes have names of their own in the pickle; the same table serves both. */
static const struct {
    const char *storage, *dtype;
    enum ut_dtype type;
} types[] = {
    {"FloatStorage", "float32", UT_F32},      {"HalfStorage", "float16", UT_F16},
    {"BFloat16Storage", "bfloat16", UT_BF16}, {"DoubleStorage", "float64", UT_F64},
    {"LongStorage", "int64", UT_I64},         {"IntStorage", "int32", UT_I32},
    {"ShortStorage", "int16", UT_I16},        {"CharStorage", "int8", UT_I8},
    {"ByteStorage", "uint8", UT_U8},          {"BoolStorage", "bool", UT_BOOL},
    {"UInt16Storage", "uint16", UT_U16},      {"UInt32Storage", "uint32", UT_U32},
    {"UInt64Storage", "uint64", UT_U64},
};

bool ut_torch_dtype(const struct ut_pickle *pickle, uint32_t object, enum ut_dtype *out) {
    for (size_t i = 0; i < UT_COUNT(types); i++) {
        if (ut_pickle_global_is(pickle, object, "torch", types[i].dtype)) {
            *out = types[i].type;
            return true;
        }
    }
    return false;
}

static utter_status fail_storage(const struct ut_torch_reader *r, uint32_t object,
                                 const char *what) {
    return ut_fail(r->err, UTTER_ERROR_FORMAT, "storage: %s, at byte %zu", what,
                   r->pickle.file_offset + ut_pickle_object(&r->pickle, object)->at);
}

/* `marker` is the storage class: torch.FloatStorage, or an untyped one whose elements are bytes. */
static utter_status read_type(const struct ut_torch_reader *r, uint32_t marker,
                              struct ut_torch_storage *out) {
    const struct ut_pickle *pickle = &r->pickle;
    out->is_untyped = ut_pickle_global_is(pickle, marker, "torch.storage", "UntypedStorage") ||
                      ut_pickle_global_is(pickle, marker, "torch", "UntypedStorage");
    out->type = UT_U8;
    for (size_t i = 0; i < UT_COUNT(types); i++) {
        if (ut_pickle_global_is(pickle, marker, "torch", types[i].storage)) {
            out->type = types[i].type;
            return UTTER_OK;
        }
    }
    if (out->is_untyped) {
        return UTTER_OK;
    }
    if (ut_pickle_object(pickle, marker)->kind != UT_PICKLE_GLOBAL) {
        return fail_storage(r, marker, "its type is no name");
    }
    char name[100];
    ut_pickle_global_name(pickle, marker, name, sizeof name);
    return ut_fail(r->err, UTTER_ERROR_UNSUPPORTED, "storage of type %s cannot be read", name);
}

/* Digits only: the key becomes part of a member's name, and must not lead anywhere else. */
static bool is_key(const char *text, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
    }
    return n >= 1 && n <= MAX_KEY;
}

/* A non-negative integer; a bool is none, though Python would take it. */
static bool read_count(const struct ut_pickle *pickle, uint32_t number, uint64_t *out) {
    const struct ut_pickle_object *object = ut_pickle_object(pickle, number);
    if (object->kind != UT_PICKLE_INTEGER || object->integer < 0) {
        return false;
    }
    *out = (uint64_t)object->integer;
    return true;
}

/* What the persistent id says: ('storage', type, key, location, elements[, view]). The view of the
 * old format, (key, offset, elements), is left in *view. */
static utter_status describe_storage(const struct ut_torch_reader *r, uint32_t object,
                                     struct ut_torch_storage *out, uint32_t *view) {
    const struct ut_pickle *pickle = &r->pickle;
    uint32_t id = ut_pickle_cell(pickle, ut_pickle_object(pickle, object)->first)->value, field[6];
    size_t n = ut_pickle_items(pickle, id, field, 6);
    if ((n != 5 && n != 6) || !ut_pickle_text_is(pickle, field[0], "storage")) {
        return fail_storage(r, object, "a persistent id that is none");
    }
    *out = (struct ut_torch_storage){0};
    out->key = ut_pickle_text(pickle, field[2], &out->n_key);
    if (!out->key || !is_key(out->key, out->n_key)) {
        return fail_storage(r, object, "a key that is no decimal number");
    }
    if (!read_count(pickle, field[4], &out->n_elements)) {
        return fail_storage(r, object, "a count of elements that is no size");
    }
    *view = n == 6 ? field[5] : 0;
    return read_type(r, field[1], out);
}

/* ROOT/data/KEY. The buffer has room for the longest root that find_pickle lets pass, "/data/", the
 * longest key and a NUL. */
static utter_status find_member(const struct ut_torch_reader *r, struct ut_torch_storage *storage) {
    char name[MAX_MEMBER_NAME + MAX_KEY + 8];
    memcpy(name, r->root, r->n_root);
    memcpy(name + r->n_root, "/data/", 6);
    memcpy(name + r->n_root + 6, storage->key, storage->n_key);
    name[r->n_root + 6 + storage->n_key] = '\0';
    const struct ut_zip_member *member = ut_zip_find(&r->zip, name);
    if (!member) {
        return ut_fail(r->err, UTTER_ERROR_FORMAT, "no member \"%.100s\" with the data", name);
    }
    if (storage->n_elements > member->n_bytes / ut_dtype_size(storage->type)) {
        return ut_fail(r->err, UTTER_ERROR_FORMAT,
                       "storage \"%.100s\" of %llu elements of %s has only %zu bytes", name,
                       (unsigned long long)storage->n_elements, ut_dtype_name(storage->type),
                       member->n_bytes);
    }
    storage->data = r->zip.data + member->data;
    return UTTER_OK;
}

/* Any total order does; shorter ones first saves comparing bytes. */
static int compare_keys(const struct ut_torch_storage *a, const struct ut_torch_storage *b) {
    if (a->n_key != b->n_key) {
        return a->n_key < b->n_key ? -1 : 1;
    }
    return memcmp(a->key, b->key, a->n_key);
}

/* Among the sorted storages of the old format. */
static struct ut_torch_storage *find_key(const struct ut_torch_reader *r,
                                         const struct ut_torch_storage *wanted) {
    size_t low = 0, high = r->n_storages;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare_keys(wanted, &r->storages[middle]);
        if (order == 0) {
            return &r->storages[middle];
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return NULL;
}

/* The old format: place_storages has noted where each storage lies. */
static utter_status find_placed(const struct ut_torch_reader *r, struct ut_torch_storage *storage) {
    const struct ut_torch_storage *placed = find_key(r, storage);
    if (!placed || !placed->data) {
        return ut_fail(r->err, UTTER_ERROR_FORMAT, "storage %.*s is not in the list of storages",
                       (int)storage->n_key, storage->key);
    }
    storage->data = placed->data;
    return UTTER_OK;
}

/* Narrows a storage to a part of it. */
static utter_status apply_view(const struct ut_torch_reader *r, uint32_t object, uint32_t view,
                               struct ut_torch_storage *storage) {
    uint32_t field[3];
    uint64_t offset, n_elements;
    if (view == 0 || ut_pickle_object(&r->pickle, view)->kind == UT_PICKLE_NONE) {
        return UTTER_OK;
    }
    if (ut_pickle_items(&r->pickle, view, field, 3) != 3 ||
        !read_count(&r->pickle, field[1], &offset) ||
        !read_count(&r->pickle, field[2], &n_elements) || offset > storage->n_elements ||
        n_elements > storage->n_elements - offset) {
        return fail_storage(r, object, "a view that is not within it");
    }
    storage->data += offset * ut_dtype_size(storage->type);
    storage->n_elements = n_elements;
    return UTTER_OK;
}

/* The view is the old format's only; in a zip file a tensor's own offset does its work. */
utter_status ut_torch_find_storage(struct ut_torch_reader *r, uint32_t object,
                                   struct ut_torch_storage *out) {
    uint32_t view;
    utter_status status = describe_storage(r, object, out, &view);
    if (status) {
        return status;
    }
    status = r->storages ? find_placed(r, out) : find_member(r, out);
    return status ? status : apply_view(r, object, view, out);
}

/* ---- Zip files ------------------------------------------------------------------------------ */

static bool has_suffix(const char *text, const char *suffix) {
    size_t n = strlen(text), n_suffix = strlen(suffix);
    return n >= n_suffix && strcmp(text + n - n_suffix, suffix) == 0;
}

/* The member ROOT/name, or NULL. */
static const struct ut_zip_member *find_beside(const struct ut_torch_reader *r, const char *name) {
    char path[MAX_MEMBER_NAME + 64];
    memcpy(path, r->root, r->n_root);
    path[r->n_root] = '/';
    memcpy(path + r->n_root + 1, name, strlen(name) + 1);
    return ut_zip_find(&r->zip, path);
}

/* The folder is the file's name when it was saved and may be anything; two pickles would be two
 * models. */
static utter_status find_pickle(struct ut_torch_reader *r, const struct ut_zip_member **out) {
    static const char name[] = "/data.pkl";
    *out = NULL;
    for (size_t i = 0; i < r->zip.n_members; i++) {
        const struct ut_zip_member *member = &r->zip.members[i];
        if (!has_suffix(member->name, name)) {
            continue;
        }
        if (*out) {
            return ut_fail(r->err, UTTER_ERROR_FORMAT, "two pickles, \"%.80s\" and \"%.80s\"",
                           (*out)->name, member->name);
        }
        *out = member;
    }
    if (!*out) {
        return ut_fail(r->err, UTTER_ERROR_UNSUPPORTED,
                       "a zip file without data.pkl: not written by torch.save");
    }
    r->root = (*out)->name;
    r->n_root = strlen(r->root) - strlen(name);
    return r->n_root <= MAX_MEMBER_NAME
               ? UTTER_OK
               : ut_fail(r->err, UTTER_ERROR_FORMAT,
                         "the folder of data.pkl has a name of %zu bytes", r->n_root);
}

/* constants.pkl is what tells a TorchScript archive. Written since torch 2.1, byteorder is
 * optional. */
static utter_status check_kind(const struct ut_torch_reader *r) {
    if (find_beside(r, "constants.pkl")) {
        return ut_fail(r->err, UTTER_ERROR_UNSUPPORTED,
                       "a TorchScript archive, which is a program; save its state_dict() with "
                       "torch.save instead");
    }
    const struct ut_zip_member *order = find_beside(r, "byteorder");
    if (!order) {
        return UTTER_OK; /* torch before 2.1 */
    }
    const uint8_t *text = r->zip.data + order->data;
    if (order->n_bytes == 3 && memcmp(text, "big", 3) == 0) {
        return ut_fail(r->err, UTTER_ERROR_UNSUPPORTED,
                       "big-endian data; load it and save it again on a little-endian machine");
    }
    return order->n_bytes == 6 && memcmp(text, "little", 6) == 0
               ? UTTER_OK
               : ut_fail(r->err, UTTER_ERROR_FORMAT, "an unknown byte order at byte %zu",
                         order->data);
}

/* Only the pickle's checksum is verified: it is what decides how all else is read. */
static utter_status read_zip(struct ut_torch_reader *r) {
    const struct ut_weights *weights = r->weights;
    const struct ut_zip_member *member;
    utter_status status = ut_zip_open(&r->zip, weights->data, weights->n, &r->scratch, r->err);
    if (status || (status = find_pickle(r, &member)) || (status = check_kind(r)) ||
        (status = ut_zip_check_stored(&r->zip, r->err)) ||
        (status = ut_zip_check_crc(&r->zip, member, r->err)) ||
        (status = ut_pickle_read(&r->pickle, weights->data + member->data, member->n_bytes,
                                 member->data, &r->scratch, r->err))) {
        return status;
    }
    return r->pickle.n == member->n_bytes
               ? UTTER_OK
               : ut_fail(r->err, UTTER_ERROR_FORMAT, "%zu bytes behind the pickle, at byte %zu",
                         member->n_bytes - r->pickle.n, member->data + r->pickle.n);
}

/* ---- The old format ------------------------------------------------------------------------- */

/* The pickles stand one behind the other; each says itself where it ends. */
static utter_status next_pickle(struct ut_torch_reader *r, size_t *pos, struct ut_pickle *out) {
    const struct ut_weights *weights = r->weights;
    utter_status status =
        ut_pickle_read(out, weights->data + *pos, weights->n - *pos, *pos, &r->scratch, r->err);
    *pos += status ? 0 : out->n;
    return status;
}

/* Magic number (which told the format), protocol version and a description of the machine. */
static utter_status read_preamble(struct ut_torch_reader *r, size_t *pos) {
    struct ut_pickle magic, version, system;
    utter_status status = next_pickle(r, pos, &magic);
    if (status || (status = next_pickle(r, pos, &version)) ||
        (status = next_pickle(r, pos, &system))) {
        return status;
    }
    uint64_t number;
    if (!read_count(&version, version.root, &number) || number != 1001) {
        return ut_fail(r->err, UTTER_ERROR_UNSUPPORTED,
                       "old format: a version other than 1001 at byte %zu", version.file_offset);
    }
    uint32_t order = ut_pickle_member(&system, system.root, "little_endian");
    if (!order || ut_pickle_object(&system, order)->kind != UT_PICKLE_BOOL) {
        return ut_fail(r->err, UTTER_ERROR_FORMAT, "old format: no byte order at byte %zu",
                       system.file_offset);
    }
    return ut_pickle_object(&system, order)->integer
               ? UTTER_OK
               : ut_fail(r->err, UTTER_ERROR_UNSUPPORTED,
                         "big-endian data; load it and save it again on a little-endian machine");
}

static int compare_storages(uint32_t a, uint32_t b, const void *context) {
    const struct ut_torch_storage *storages = context;
    return compare_keys(&storages[a], &storages[b]);
}

/* Those that the pickle names, sorted by key and each once. Tensors that share a storage name it
 * each time, so equal keys must agree and only one is kept. */
static utter_status collect_storages(struct ut_torch_reader *r) {
    uint32_t n_objects = r->pickle.objects.n, n = 0, view;
    for (uint32_t i = 1; i < n_objects; i++) {
        n += ut_pickle_object(&r->pickle, i)->kind == UT_PICKLE_STORAGE;
    }
    struct ut_torch_storage *all = ut_blocks_alloc(&r->scratch, n, sizeof *all, r->err);
    uint32_t *order = ut_blocks_alloc(&r->scratch, n, sizeof *order, r->err);
    r->storages = ut_blocks_alloc(&r->scratch, n, sizeof *r->storages, r->err);
    if (!all || !order || !r->storages) {
        return r->scratch.status;
    }
    n = 0;
    for (uint32_t i = 1; i < n_objects; i++) {
        if (ut_pickle_object(&r->pickle, i)->kind != UT_PICKLE_STORAGE) {
            continue;
        }
        order[n] = n;
        utter_status status = describe_storage(r, i, &all[n++], &view);
        if (status) {
            return status;
        }
    }
    ut_sort_u32(order, n, compare_storages, all);
    for (uint32_t i = 0; i < n; i++) {
        const struct ut_torch_storage *storage = &all[order[i]];
        struct ut_torch_storage *last = r->n_storages ? &r->storages[r->n_storages - 1] : NULL;
        if (!last || compare_keys(last, storage) != 0) {
            r->storages[r->n_storages++] = *storage;
        } else if (last->type != storage->type || last->is_untyped != storage->is_untyped ||
                   last->n_elements != storage->n_elements) {
            return ut_fail(r->err, UTTER_ERROR_FORMAT,
                           "storage %.*s is described in two different ways", (int)storage->n_key,
                           storage->key);
        }
    }
    return UTTER_OK;
}

/* A count, then the elements. Elements of the storage's type, without padding. Each key of the list
 * is placed once; `data` tells whether it was. */
static utter_status place_storage(struct ut_torch_reader *r, const struct ut_torch_storage *key,
                                  size_t *pos) {
    struct ut_torch_storage *storage = find_key(r, key);
    int n_key = (int)key->n_key;
    if (!storage || storage->data) {
        return ut_fail(r->err, UTTER_ERROR_FORMAT, "storage %.*s %s", n_key, key->key,
                       storage ? "stands twice in the list" : "is used by no tensor");
    }
    const struct ut_weights *weights = r->weights;
    size_t n_left = weights->n - *pos;
    uint64_t n_elements;
    if (n_left < sizeof n_elements) {
        return ut_fail(r->err, UTTER_ERROR_FORMAT, "storage %.*s is cut off at byte %zu", n_key,
                       key->key, *pos);
    }
    memcpy(&n_elements, weights->data + *pos, sizeof n_elements);
    if (n_elements != storage->n_elements) {
        return ut_fail(r->err, UTTER_ERROR_FORMAT,
                       "storage %.*s has %llu elements at byte %zu, the pickle says %llu", n_key,
                       key->key, (unsigned long long)n_elements, *pos,
                       (unsigned long long)storage->n_elements);
    }
    n_left -= sizeof n_elements;
    if (n_elements > n_left / ut_dtype_size(storage->type)) {
        return ut_fail(r->err, UTTER_ERROR_FORMAT, "storage %.*s is cut off at byte %zu", n_key,
                       key->key, weights->n);
    }
    storage->data = weights->data + *pos + sizeof n_elements;
    *pos += sizeof n_elements + (size_t)n_elements * ut_dtype_size(storage->type);
    return UTTER_OK;
}

/* The last pickle lists the keys in the order in which the storages follow it. Nothing may be left
 * over. */
static utter_status place_storages(struct ut_torch_reader *r, const struct ut_pickle *keys,
                                   size_t *pos) {
    const struct ut_pickle_object *list = ut_pickle_object(keys, keys->root);
    if (list->kind != UT_PICKLE_LIST) {
        return ut_fail(r->err, UTTER_ERROR_FORMAT, "no list of storages at byte %zu",
                       keys->file_offset);
    }
    for (uint32_t c = list->first; c;) {
        const struct ut_pickle_cell *cell = ut_pickle_cell(keys, c);
        struct ut_torch_storage key = {0};
        key.key = ut_pickle_text(keys, cell->value, &key.n_key);
        if (!key.key || !is_key(key.key, key.n_key)) {
            return ut_fail(r->err, UTTER_ERROR_FORMAT,
                           "a storage key that is no number at byte %zu",
                           keys->file_offset + ut_pickle_object(keys, cell->value)->at);
        }
        utter_status status = place_storage(r, &key, pos);
        if (status) {
            return status;
        }
        c = cell->next;
    }
    return *pos == r->weights->n ? UTTER_OK
                                 : ut_fail(r->err, UTTER_ERROR_FORMAT,
                                           "%zu bytes behind the last storage, at byte %zu",
                                           r->weights->n - *pos, *pos);
}

/* Five pickles: magic number, version, machine, the object itself, the storage keys. */
static utter_status read_old(struct ut_torch_reader *r) {
    struct ut_pickle keys;
    size_t pos = 0;
    if (r->weights->data[0] != 0x80) {
        return ut_fail(r->err, UTTER_ERROR_UNSUPPORTED,
                       "a tar file, as torch before 0.4 wrote; load it there and save it again");
    }
    utter_status status = read_preamble(r, &pos);
    if (status || (status = next_pickle(r, &pos, &r->pickle)) ||
        (status = next_pickle(r, &pos, &keys)) || (status = collect_storages(r))) {
        return status;
    }
    return place_storages(r, &keys, &pos);
}

/* ---- Entry ---------------------------------------------------------------------------------- */

/* The scratch blocks are freed in every case: no tensor points into them. */
utter_status ut_torch_parse(struct ut_weights *weights, utter_error *err) {
    struct ut_torch_reader reader = {.weights = weights, .err = err};
    ut_blocks_init(&reader.scratch, weights->mem, weights->n, 0);
    utter_status status =
        weights->format == UT_FORMAT_TORCH_ZIP ? read_zip(&reader) : read_old(&reader);
    if (!status) {
        status = ut_torch_read_tensors(&reader);
    }
    ut_blocks_free(&reader.scratch);
    return status ? status : ut_table_index(weights, err);
}
