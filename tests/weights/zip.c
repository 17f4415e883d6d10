/* Zip directories: every field of every record broken in turn, beside the whole file it was taken
 * from. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/sweep.h"
#include "support/torch_writer.h"
#include "weights/zip.h"

static struct ut_mem mem;

static int setup(void **state) {
    ut_mem_init(&mem, NULL);
    return 0;
}

static int teardown(void **state) {
    return atomic_load(&mem.bytes[UT_MEM_WEIGHTS]) != 0;
}

/* One archive read from an exactly sized copy. */
struct opened {
    uint8_t *copy;
    struct ut_blocks blocks;
    struct ut_zip zip;
    utter_status status;
    utter_error err;
};

static struct opened open_copy(const struct byte_buffer *file) {
    struct opened o = {.copy = test_alloc(file->n)};
    if (file->n > 0) {
        memcpy(o.copy, file->data, file->n);
    }
    ut_blocks_init(&o.blocks, &mem, file->n, 0);
    o.status = ut_zip_open(&o.zip, o.copy, file->n, &o.blocks, &o.err);
    return o;
}

static void drop(struct opened *o) {
    ut_blocks_free(&o->blocks);
    free(o->copy);
}

/* Two members, "r/a" of 5 bytes and "r/b" of none, in the ways a writer may put them. */
static struct zip_writer two_members(bool has_sizes, bool is_wide, bool with_zip64) {
    struct zip_writer zip = {0};
    zip_add(
        &zip,
        &(struct zip_member){
            .name = "r/a", .data = "hello", .n = 5, .has_sizes = has_sizes, .is_wide = is_wide});
    zip_add(&zip,
            &(struct zip_member){
                .name = "r/b", .data = "", .n = 0, .has_sizes = has_sizes, .is_wide = is_wide});
    zip_finish(&zip, with_zip64);
    return zip;
}

static bool is_whole(const struct ut_zip *zip, const struct zip_writer *written) {
    const struct ut_zip_member *a = ut_zip_find(zip, "r/a"), *b = ut_zip_find(zip, "r/b");
    return zip->n_members == 2 && a && b && a->data == written->places[0].data && a->n_bytes == 5 &&
           a->is_stored && b->data == written->places[1].data && b->n_bytes == 0;
}

static void test_whole(void **state) {
    for (int variant = 0; variant < 8; variant++) {
        struct zip_writer zip = two_members(variant & 1, variant & 2, variant & 4);
        struct opened o = open_copy(&zip.file);
        if (o.status) {
            fail_msg("variant %d: %s", variant, o.err.message);
        }
        assert_true(is_whole(&o.zip, &zip));
        assert_null(ut_zip_find(&o.zip, "r/c"));
        assert_null(ut_zip_find(&o.zip, ""));
        assert_memory_equal(o.copy + ut_zip_find(&o.zip, "r/a")->data, "hello", 5);
        assert_int_equal(ut_zip_check_stored(&o.zip, &o.err), UTTER_OK);
        assert_int_equal(ut_zip_check_crc(&o.zip, ut_zip_find(&o.zip, "r/a"), &o.err), UTTER_OK);
        assert_int_equal(ut_zip_check_crc(&o.zip, ut_zip_find(&o.zip, "r/b"), &o.err), UTTER_OK);
        drop(&o);
        zip_free(&zip);
    }
}

static void test_crc(void **state) {
    struct zip_writer zip = two_members(false, false, true);
    for (int bit = 0; bit < 40; bit++) {
        zip.file.data[zip.places[0].data + bit / 8] ^= (uint8_t)(1 << bit % 8);
        struct opened o = open_copy(&zip.file);
        assert_int_equal(o.status, UTTER_OK);
        assert_int_equal(ut_zip_check_crc(&o.zip, ut_zip_find(&o.zip, "r/a"), &o.err),
                         UTTER_ERROR_FORMAT);
        assert_non_null(strstr(o.err.message, "\"r/a\" at byte 42: checksum"));
        drop(&o);
        zip.file.data[zip.places[0].data + bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    zip_free(&zip);
}

enum record { LOCAL, ENTRY, END64, LOCATOR, END };

static size_t record_at(const struct zip_writer *zip, enum record record) {
    switch (record) {
    case LOCAL:
        return zip->places[0].local;
    case ENTRY:
        return zip->places[0].entry;
    case END64:
        return zip->end64;
    case LOCATOR:
        return zip->locator;
    default:
        return zip->end;
    }
}

static const struct field {
    enum record record;
    size_t at, n_bytes;
} fields[] = {
    {LOCAL, 0, 4},   {LOCAL, 4, 2},   {LOCAL, 6, 2},   {LOCAL, 8, 2},    {LOCAL, 10, 2},
    {LOCAL, 12, 2},  {LOCAL, 14, 4},  {LOCAL, 18, 4},  {LOCAL, 22, 4},   {LOCAL, 26, 2},
    {LOCAL, 28, 2},  {LOCAL, 33, 2},  {LOCAL, 35, 2},  {ENTRY, 0, 4},    {ENTRY, 4, 2},
    {ENTRY, 6, 2},   {ENTRY, 8, 2},   {ENTRY, 10, 2},  {ENTRY, 12, 2},   {ENTRY, 14, 2},
    {ENTRY, 16, 4},  {ENTRY, 20, 4},  {ENTRY, 24, 4},  {ENTRY, 28, 2},   {ENTRY, 30, 2},
    {ENTRY, 32, 2},  {ENTRY, 34, 2},  {ENTRY, 36, 2},  {ENTRY, 38, 4},   {ENTRY, 42, 4},
    {ENTRY, 49, 2},  {ENTRY, 51, 2},  {ENTRY, 53, 8},  {ENTRY, 61, 8},   {ENTRY, 69, 8},
    {END64, 0, 4},   {END64, 4, 8},   {END64, 12, 2},  {END64, 14, 2},   {END64, 16, 4},
    {END64, 20, 4},  {END64, 24, 8},  {END64, 32, 8},  {END64, 40, 8},   {END64, 48, 8},
    {LOCATOR, 0, 4}, {LOCATOR, 4, 4}, {LOCATOR, 8, 8}, {LOCATOR, 16, 4}, {END, 0, 4},
    {END, 4, 2},     {END, 6, 2},     {END, 8, 2},     {END, 10, 2},     {END, 12, 4},
    {END, 16, 4},    {END, 20, 2},
};

/* A file is refused, or it says what it said before, or the checksum tells (where no descriptor
 * does). */
static bool is_accepted(const struct opened *o) {
    const struct ut_zip_member *a = ut_zip_find(&o->zip, "r/a"), *b = ut_zip_find(&o->zip, "r/b");
    return !o->status && ut_zip_check_stored(&o->zip, NULL) == UTTER_OK &&
           (!a || ut_zip_check_crc(&o->zip, a, NULL) == UTTER_OK) &&
           (!b || ut_zip_check_crc(&o->zip, b, NULL) == UTTER_OK);
}

static void check_field(struct zip_writer *zip, const struct field *field, uint64_t value) {
    size_t at = record_at(zip, field->record) + field->at;
    uint8_t saved[8];
    memcpy(saved, zip->file.data + at, field->n_bytes);
    put_number(&zip->file, at, value, field->n_bytes);
    struct opened o = open_copy(&zip->file);
    if (is_accepted(&o) && !is_whole(&o.zip, zip)) {
        fail_msg("record %d, field %zu = %llu is accepted", field->record, field->at,
                 (unsigned long long)value);
    }
    assert_true(o.status == UTTER_OK || o.status == UTTER_ERROR_FORMAT ||
                o.status == UTTER_ERROR_UNSUPPORTED);
    drop(&o);
    memcpy(zip->file.data + at, saved, field->n_bytes);
}

static void test_every_field(void **state) {
    for (int variant = 0; variant < 8; variant++) {
        struct zip_writer zip = two_members(variant & 1, variant & 2, variant & 4);
        for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
            if ((!(variant & 4) && (fields[i].record == END64 || fields[i].record == LOCATOR)) ||
                (!(variant & 2) && fields[i].record == ENTRY && fields[i].at > 46)) {
                continue;
            }
            uint64_t half = (uint64_t)1 << (8 * fields[i].n_bytes - 1);
            uint64_t values[] = {0, 1, UINT64_MAX, half - 1, half, half + 1};
            for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
                check_field(&zip, &fields[i], values[v]);
            }
        }
        zip_free(&zip);
    }
}

static void test_messages(void **state) {
    static const struct {
        enum record record;
        size_t at, n_bytes;
        uint64_t value;
        utter_status status;
        const char *message;
    } cases[] = {
        {END, 0, 4, 0, UTTER_ERROR_FORMAT, "no end record in the last bytes: the file is cut off"},
        {END, 20, 2, 1, UTTER_ERROR_FORMAT,
         "an end record that is not the end of the file at byte"},
        {END, 10, 2, 3, UTTER_ERROR_FORMAT, "two end records that do not agree"},
        {END, 12, 4, 3, UTTER_ERROR_FORMAT, "two end records that do not agree"},
        {END64, 4, 8, 45, UTTER_ERROR_FORMAT, "no zip64 end record where its locator says at byte"},
        {LOCATOR, 8, 8, 1, UTTER_ERROR_FORMAT, "no zip64 end record where its locator says"},
        {LOCATOR, 8, 8, UINT64_MAX, UTTER_ERROR_FORMAT,
         "no zip64 end record where its locator says"},
        {LOCATOR, 4, 4, 1, UTTER_ERROR_UNSUPPORTED, "several disks at byte"},
        {LOCATOR, 16, 4, 2, UTTER_ERROR_UNSUPPORTED, "several disks at byte"},
        {LOCAL, 0, 4, 0, UTTER_ERROR_FORMAT, "member \"r/a\": no local header where it should be"},
        {LOCAL, 6, 2, 0, UTTER_ERROR_FORMAT,
         "member \"r/a\": its local header does not agree with the directory"},
        {LOCAL, 8, 2, 8, UTTER_ERROR_FORMAT, "its local header does not agree"},
        {LOCAL, 14, 4, 1, UTTER_ERROR_FORMAT, "its local header does not agree"},
        {LOCAL, 22, 4, 6, UTTER_ERROR_FORMAT, "its local header does not agree"},
        {LOCAL, 22, 4, UINT32_MAX, UTTER_ERROR_FORMAT,
         "its local header does not agree"}, /* without a zip64 field */
        {LOCAL, 26, 2, 2, UTTER_ERROR_FORMAT, "member \"r/a\": its local header has another name"},
        {LOCAL, 28, 2, 0xFFFF, UTTER_ERROR_FORMAT,
         "member \"r/a\": data beyond the end of the file"},
        {LOCAL, 28, 2, 0, UTTER_ERROR_FORMAT, "member \"r/a\": no descriptor behind its data"},
        {LOCAL, 32, 1, 'c', UTTER_ERROR_FORMAT, "its local header has another name"},
        {ENTRY, 0, 4, 0, UTTER_ERROR_FORMAT, "no entry of the directory at byte"},
        {ENTRY, 8, 2, 0x0809, UTTER_ERROR_UNSUPPORTED, "member \"r/a\": encrypted"},
        {ENTRY, 8, 2, 0x0848, UTTER_ERROR_UNSUPPORTED, "encrypted"},
        {ENTRY, 8, 2, 0x2808, UTTER_ERROR_UNSUPPORTED, "encrypted"},
        {ENTRY, 24, 4, 4, UTTER_ERROR_FORMAT, "member \"r/a\": stored with two different sizes"},
        {ENTRY, 24, 4, UINT32_MAX, UTTER_ERROR_FORMAT,
         "member \"r/a\": its extra fields are damaged"},
        {ENTRY, 30, 2, 1, UTTER_ERROR_FORMAT, "member \"r/a\": its extra fields are damaged"},
        {ENTRY, 32, 2, 0xFFFF, UTTER_ERROR_FORMAT,
         "an entry that is longer than the directory at byte"},
        {ENTRY, 34, 2, 1, UTTER_ERROR_UNSUPPORTED, "member \"r/a\": on another disk"},
        {ENTRY, 42, 4, UINT32_MAX - 1, UTTER_ERROR_FORMAT, "no local header where it should be"},
        {ENTRY, 46, 1, 0, UTTER_ERROR_FORMAT, "a name with a NUL at byte"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct zip_writer zip = two_members(false, false, true);
        put_number(&zip.file, record_at(&zip, cases[i].record) + cases[i].at, cases[i].value,
                   cases[i].n_bytes);
        struct opened o = open_copy(&zip.file);
        if (o.status != cases[i].status || !strstr(o.err.message, cases[i].message)) {
            fail_msg("case %zu: %d, %s", i, o.status, o.status ? o.err.message : "accepted");
        }
        drop(&o);
        zip_free(&zip);
    }
}

/* What the plain end record leaves to the zip64 one. */
static void test_zip64_end(void **state) {
    struct zip_writer zip = two_members(false, true, true);
    put_number(&zip.file, zip.end + 4, UINT64_MAX, 8);
    put_number(&zip.file, zip.end + 12, UINT64_MAX, 8);
    struct opened o = open_copy(&zip.file);
    assert_int_equal(o.status, UTTER_OK);
    assert_true(is_whole(&o.zip, &zip));
    drop(&o);
    put_number(&zip.file, zip.end64 + 32, 3, 8);
    put_number(&zip.file, zip.end64 + 24, 3, 8);
    o = open_copy(&zip.file);
    assert_int_equal(o.status, UTTER_ERROR_FORMAT);
    assert_non_null(strstr(o.err.message, "no entry of the directory"));
    drop(&o);
    put_number(&zip.file, zip.end64 + 32, UINT64_MAX / 2, 8);
    put_number(&zip.file, zip.end64 + 24, UINT64_MAX / 2, 8);
    o = open_copy(&zip.file);
    assert_non_null(strstr(o.err.message, "more members than the directory has room for"));
    drop(&o);
    zip_free(&zip);
}

/* A local header, too, may have its sizes in a zip64 field: here in the place of the padding. */
static void test_zip64_local(void **state) {
    struct zip_writer zip = two_members(true, false, false);
    struct byte_buffer *file = &zip.file;
    uint8_t *extra = byte_buffer_insert(file, zip.places[0].data, 20);
    memcpy(extra, "\1\0\x10\0\5\0\0\0\0\0\0\0\5\0\0\0\0\0\0\0", 20);
    put_number(file, 18, UINT64_MAX, 8);
    put_number(file, 28, 29, 2);
    put_number(file, zip.places[1].entry + 20 + 42, zip.places[1].local + 20, 4);
    put_number(file, zip.end + 20 + 16, zip.directory_at + 20, 4);
    struct opened o = open_copy(file);
    assert_int_equal(o.status, UTTER_OK);
    assert_int_equal(ut_zip_find(&o.zip, "r/a")->data, zip.places[0].data + 20);
    drop(&o);
    put_number(file, zip.places[0].data + 4, 6, 1);
    o = open_copy(file);
    assert_non_null(strstr(o.err.message, "\"r/a\": its local header does not agree"));
    drop(&o);
    put_number(file, zip.places[0].data + 4, 5, 1);
    put_number(file, zip.places[0].data - 9, 1, 2); /* the padding as a second zip64 field */
    o = open_copy(file);
    assert_non_null(strstr(o.err.message, "\"r/a\": its local header does not agree"));
    drop(&o);
    zip_free(&zip);
}

static void test_wide_descriptor(void **state) {
    struct zip_writer zip = two_members(false, false, false);
    struct byte_buffer *file = &zip.file;
    memset(byte_buffer_insert(file, zip.places[0].data + 5 + 16, 8), 0, 8);
    put_number(file, zip.places[0].data + 5 + 8, 5, 8);
    put_number(file, zip.places[0].data + 5 + 16, 5, 8);
    put_number(file, zip.places[1].entry + 8 + 42, zip.places[1].local + 8, 4);
    put_number(file, zip.end + 8 + 16, zip.directory_at + 8, 4);
    struct opened o = open_copy(file);
    assert_int_equal(o.status, UTTER_OK);
    assert_int_equal(ut_zip_find(&o.zip, "r/b")->header, zip.places[1].local + 8);
    drop(&o);
    put_number(file, zip.places[0].data + 5 + 16, 6, 8);
    o = open_copy(file);
    assert_non_null(strstr(o.err.message, "no descriptor behind its data"));
    drop(&o);
    zip_free(&zip);
}

static void test_directory(void **state) {
    struct zip_writer zip = two_members(false, false, false);
    byte_buffer_insert(&zip.file, zip.end, 1);
    struct opened o = open_copy(&zip.file);
    assert_non_null(
        strstr(o.err.message, "a directory that does not end where the end record begins"));
    drop(&o);
    put_number(&zip.file, zip.end + 1 + 12, zip.directory.n + 1, 4);
    zip.file.data[zip.end] = 0;
    o = open_copy(&zip.file);
    assert_non_null(strstr(o.err.message, "bytes behind the last entry of the directory"));
    drop(&o);
    zip_free(&zip);

    zip = two_members(false, false, false);
    put_number(&zip.file, zip.end + 8, 1, 2);
    o = open_copy(&zip.file);
    assert_int_equal(o.status, UTTER_ERROR_UNSUPPORTED);
    assert_non_null(strstr(o.err.message, "several disks"));
    drop(&o);
    zip_free(&zip);
}

/* A comment of a plain archive is passed over; one that looks like an end record is not. */
static void test_comment(void **state) {
    struct zip_writer zip = two_members(false, false, true);
    byte_buffer_append(&zip.file, "hello", 5);
    put_number(&zip.file, zip.end + 20, 5, 2);
    struct opened o = open_copy(&zip.file);
    assert_int_equal(o.status, UTTER_OK);
    drop(&o);
    byte_buffer_append(&zip.file, "PK\5\6", 4);
    byte_buffer_insert(&zip.file, zip.file.n, 18);
    memset(zip.file.data + zip.file.n - 18, 1, 18);
    put_number(&zip.file, zip.end + 20, 5 + 22, 2);
    o = open_copy(&zip.file);
    assert_non_null(strstr(o.err.message, "an end record that is not the end of the file"));
    drop(&o);
    zip_free(&zip);

    zip = two_members(false, false, true); /* the longest comment there can be, and one byte more */
    memset(byte_buffer_insert(&zip.file, zip.file.n, 0xFFFF), 'x', 0xFFFF);
    put_number(&zip.file, zip.end + 20, 0xFFFF, 2);
    o = open_copy(&zip.file);
    assert_int_equal(o.status, UTTER_OK);
    drop(&o);
    byte_buffer_append_u8(&zip.file, 'x');
    o = open_copy(&zip.file);
    assert_non_null(strstr(o.err.message, "no end record in the last bytes"));
    drop(&o);
    zip_free(&zip);
}

static void test_truncated(void **state) {
    struct zip_writer zip = two_members(false, true, true);
    for (; zip.file.n > 0; zip.file.n--) {
        struct opened o = open_copy(&zip.file);
        assert_int_equal(o.status, zip.file.n == zip.end + 22 ? UTTER_OK : UTTER_ERROR_FORMAT);
        drop(&o);
    }
    zip_free(&zip);
}

static void test_names(void **state) {
    struct zip_writer zip = {0};
    zip_add(&zip, &(struct zip_member){.name = "r/a", .data = "x", .n = 1});
    zip_add(&zip, &(struct zip_member){.name = "r/a", .data = "y", .n = 1});
    zip_finish(&zip, true);
    struct opened o = open_copy(&zip.file);
    assert_int_equal(o.status, UTTER_ERROR_FORMAT);
    assert_non_null(strstr(o.err.message, "member \"r/a\": stands twice in the directory"));
    drop(&o);
    zip_free(&zip);

    zip_add(&zip, &(struct zip_member){.name = "r/a", .local_name = "r/b", .data = "x", .n = 1});
    zip_finish(&zip, true);
    o = open_copy(&zip.file);
    assert_non_null(strstr(o.err.message, "member \"r/a\": its local header has another name"));
    drop(&o);
    zip_free(&zip);
}

/* The second entry points at a whole member inside the first one's data. */
static void test_overlap(void **state) {
    struct zip_writer inner = {0}, zip = {0};
    zip_add(&inner, &(struct zip_member){.name = "r/b", .data = "y", .n = 1});
    zip_add(&zip, &(struct zip_member){.name = "r/a", .data = inner.file.data, .n = inner.file.n});
    zip_add(&zip, &(struct zip_member){.name = "r/b", .data = "y", .n = 1});
    zip_finish(&zip, true);
    struct opened o = open_copy(&zip.file);
    assert_int_equal(o.status, UTTER_OK);
    drop(&o);
    put_number(&zip.file, zip.places[1].entry + 42, zip.places[0].data, 4);
    o = open_copy(&zip.file);
    assert_int_equal(o.status, UTTER_ERROR_FORMAT);
    assert_non_null(strstr(o.err.message, "members \"r/a\" and \"r/b\" share bytes"));
    drop(&o);
    zip_free(&zip);
    zip_free(&inner);
}

static void test_compressed(void **state) {
    struct zip_writer zip = two_members(false, false, true);
    put_number(&zip.file, zip.places[0].local + 8, 8, 2);
    put_number(&zip.file, zip.places[0].entry + 10, 8, 2);
    put_number(&zip.file, zip.places[0].entry + 24, 100, 4); /* unpacked */
    put_number(&zip.file, zip.places[0].data + 5 + 12, 100, 4);
    struct opened o = open_copy(&zip.file);
    assert_int_equal(o.status, UTTER_OK);
    assert_false(ut_zip_find(&o.zip, "r/a")->is_stored);
    assert_int_equal(ut_zip_find(&o.zip, "r/a")->n_bytes, 5);
    assert_int_equal(ut_zip_check_stored(&o.zip, &o.err), UTTER_ERROR_UNSUPPORTED);
    assert_non_null(strstr(o.err.message, "member \"r/a\" is compressed"));
    drop(&o);
    zip_free(&zip);
}

static void test_allocation(void **state) {
    struct zip_writer zip = {0};
    struct sweep sweep;
    char names[ZIP_MAX_MEMBERS][1000];
    for (int i = 0; i < ZIP_MAX_MEMBERS; i++) {
        snprintf(names[i], sizeof names[i], "r/%0900d", i);
        zip_add(&zip, &(struct zip_member){.name = names[i], .data = "x", .n = 1});
    }
    zip_finish(&zip, true);
    for (sweep_start(&sweep, &mem, false); sweep_next(&sweep);) {
        struct opened o = open_copy(&zip.file);
        utter_status status = o.status;
        drop(&o);
        sweep_check(&sweep, status);
    }
    assert_true(sweep.n_injected >= 3);
    zip_free(&zip);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(test_crc, setup, teardown),
        cmocka_unit_test_setup_teardown(test_every_field, setup, teardown),
        cmocka_unit_test_setup_teardown(test_messages, setup, teardown),
        cmocka_unit_test_setup_teardown(test_zip64_end, setup, teardown),
        cmocka_unit_test_setup_teardown(test_zip64_local, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wide_descriptor, setup, teardown),
        cmocka_unit_test_setup_teardown(test_directory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_comment, setup, teardown),
        cmocka_unit_test_setup_teardown(test_truncated, setup, teardown),
        cmocka_unit_test_setup_teardown(test_names, setup, teardown),
        cmocka_unit_test_setup_teardown(test_overlap, setup, teardown),
        cmocka_unit_test_setup_teardown(test_compressed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_allocation, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
