/* Zip files (APPNOTE.TXT 6.3.10, sections 4.3 and 4.5), zip64 included. Sizes come from the central
 * directory: torch's local headers leave them to a data descriptor behind the data. Two readers
 * must not see two different files, so whatever is stated twice has to agree, and no byte belongs
 * to two members. Nothing is unpacked. Not read: encrypted members, several disks. */
#include "weights/zip.h"

#include <string.h>

#include "base/checked.h"
#include "base/sort.h"

/* The fixed parts of the records, without the names and fields behind them. */
enum {
    LOCAL_BYTES = 30,
    ENTRY_BYTES = 46,
    END_BYTES = 22,
    END64_BYTES = 56,
    LOCATOR_BYTES = 20,
    MAX_COMMENT = 0xFFFF
};
/* Of the general purpose bit flag (4.4.4). Encryption has three bits: the old cipher, the strong
 * one, and masked headers. */
enum { FLAG_ENCRYPTED = 1, FLAG_DESCRIPTOR = 8, FLAG_STRONG = 0x40, FLAG_MASKED = 0x2000 };
enum { EXTRA_ZIP64 = 1 };

/* Fields that hold these stand in 64 bits elsewhere. */
static const uint16_t in_zip64_16 = UINT16_MAX;
static const uint32_t in_zip64_32 = UINT32_MAX;

struct reader {
    struct ut_zip *zip;
    const uint8_t *data;
    size_t n;
    struct ut_blocks *blocks;
    size_t directory, n_directory; /* offset and bytes of the central directory */
    uint64_t n_members;
    utter_error *err;
};

/* Little-endian, as weights/dtype.c demands, at any address. */
static uint16_t u16_at(const uint8_t *bytes) {
    uint16_t value;
    memcpy(&value, bytes, sizeof value);
    return value;
}

static uint32_t u32_at(const uint8_t *bytes) {
    uint32_t value;
    memcpy(&value, bytes, sizeof value);
    return value;
}

static uint64_t u64_at(const uint8_t *bytes) {
    uint64_t value;
    memcpy(&value, bytes, sizeof value);
    return value;
}

static utter_status fail_at(const struct reader *r, size_t pos, const char *what) {
    return ut_fail(r->err, UTTER_ERROR_FORMAT, "zip: %s at byte %zu", what, pos);
}

static utter_status fail_member(const struct reader *r, const struct ut_zip_member *member,
                                utter_status code, const char *what) {
    return ut_fail(r->err, code, "zip: member \"%.100s\": %s", member->name, what);
}

/* ---- End records ---------------------------------------------------------------------------- */

/* The last end record; its comment reaches to the end of the file, so that there is only one. A
 * reader that searches from the other side, or that tolerates bytes behind the comment, would find
 * another directory in a file made for it. */
static utter_status find_end(const struct reader *r, size_t *out) {
    size_t lowest = r->n > END_BYTES + MAX_COMMENT ? r->n - END_BYTES - MAX_COMMENT : 0;
    for (size_t pos = r->n; r->n >= END_BYTES && pos-- > lowest;) {
        if (r->n - pos < END_BYTES || memcmp(r->data + pos, "PK\5\6", 4) != 0) {
            continue;
        }
        *out = pos;
        return u16_at(r->data + pos + 20) == r->n - pos - END_BYTES
                   ? UTTER_OK
                   : fail_at(r, pos, "an end record that is not the end of the file");
    }
    return ut_fail(r->err, UTTER_ERROR_FORMAT,
                   "zip: no end record in the last bytes: the file is cut off; copy it again");
}

/* The zip64 record stands directly before its locator, which stands directly before `end`. Offset 8
 * of the locator is where the record lies; its size field (offset 4) does not count its own first
 * 12 bytes. */
static utter_status find_end64(const struct reader *r, size_t locator, size_t *out) {
    const uint8_t *bytes = r->data + locator;
    uint64_t pos = u64_at(bytes + 8);
    if (u32_at(bytes + 4) != 0 || u32_at(bytes + 16) > 1) {
        return ut_fail(r->err, UTTER_ERROR_UNSUPPORTED, "zip: several disks at byte %zu", locator);
    }
    if (locator < END64_BYTES || pos > locator - END64_BYTES ||
        memcmp(r->data + pos, "PK\6\6", 4) != 0 ||
        u64_at(r->data + pos + 4) != locator - pos - 12) {
        return fail_at(r, locator, "no zip64 end record where its locator says");
    }
    *out = (size_t)pos;
    return UTTER_OK;
}

/* What the plain record says, with the zip64 record's values in place of fields that are full; the
 * others must be the same in both. A full field (all ones) says that the value is in the wide
 * record. */
static bool merge(uint64_t plain, uint64_t full, uint64_t wide, uint64_t *out) {
    *out = wide;
    return plain == full || plain == wide;
}

/* Offsets in the plain record: 4 and 6 disks, 8 and 10 entries here and in all, 12 bytes and 16
 * offset of the directory; in the wide one 16, 20, 24, 32, 40, 48. The directory must end where the
 * records begin, which leaves no room for a second one. */
static utter_status read_end(struct reader *r) {
    size_t end = 0;
    utter_status status = find_end(r, &end);
    if (status) {
        return status;
    }
    const uint8_t *plain = r->data + end;
    uint64_t disk = u16_at(plain + 4), directory_disk = u16_at(plain + 6);
    uint64_t n_here = u16_at(plain + 8), n_bytes = u32_at(plain + 12), begin = u32_at(plain + 16);
    r->n_members = u16_at(plain + 10);
    size_t directory_end = end;
    if (end >= LOCATOR_BYTES && memcmp(plain - LOCATOR_BYTES, "PK\6\7", 4) == 0) {
        status = find_end64(r, end - LOCATOR_BYTES, &directory_end);
        if (status) {
            return status;
        }
        const uint8_t *wide = r->data + directory_end;
        if (!merge(disk, in_zip64_16, u32_at(wide + 16), &disk) ||
            !merge(directory_disk, in_zip64_16, u32_at(wide + 20), &directory_disk) ||
            !merge(n_here, in_zip64_16, u64_at(wide + 24), &n_here) ||
            !merge(r->n_members, in_zip64_16, u64_at(wide + 32), &r->n_members) ||
            !merge(n_bytes, in_zip64_32, u64_at(wide + 40), &n_bytes) ||
            !merge(begin, in_zip64_32, u64_at(wide + 48), &begin)) {
            return fail_at(r, end, "two end records that do not agree");
        }
    }
    if (disk != 0 || directory_disk != 0 || n_here != r->n_members) {
        return ut_fail(r->err, UTTER_ERROR_UNSUPPORTED, "zip: several disks at byte %zu", end);
    }
    if (begin > directory_end || n_bytes != directory_end - begin) {
        return fail_at(r, end, "a directory that does not end where the end record begins");
    }
    r->directory = (size_t)begin;
    r->n_directory = (size_t)n_bytes;
    return r->n_members <= n_bytes / ENTRY_BYTES
               ? UTTER_OK
               : fail_at(r, end, "more members than the directory has room for");
}

/* ---- Members -------------------------------------------------------------------------------- */

/* Replaces those of the values that are full by the zip64 field among the extra fields, where they
 * stand in this order. False when the extra fields are damaged or a value is missing. */
static bool apply_zip64(const uint8_t *extra, size_t n, uint64_t *const values[], int n_values) {
    const uint8_t *field = NULL;
    size_t n_field = 0;
    for (size_t pos = 0; pos < n;) {
        size_t n_here = n - pos < 4 ? SIZE_MAX : u16_at(extra + pos + 2);
        if (n - pos < 4 || n_here > n - pos - 4) {
            return false;
        }
        if (u16_at(extra + pos) == EXTRA_ZIP64) {
            if (field) {
                return false;
            }
            field = extra + pos + 4;
            n_field = n_here;
        }
        pos += 4 + n_here;
    }
    for (int i = 0; i < n_values; i++) {
        if (*values[i] != in_zip64_32) {
            continue;
        }
        if (n_field < 8) {
            return false;
        }
        *values[i] = u64_at(field);
        field += 8;
        n_field -= 8;
    }
    return true;
}

/* What an entry of the directory says of its member. */
struct entry {
    const uint8_t *bytes; /* the fixed part, ENTRY_BYTES */
    uint64_t offset, n_stored, n_plain;
    uint32_t crc;
    uint16_t flags, method;
};

/* The local header repeats what the directory says, or leaves it to a descriptor. */
static bool local_agrees(const uint8_t *local, const uint8_t *extra, size_t n_extra,
                         const struct entry *entry) {
    uint64_t n_stored = u32_at(local + 18), n_plain = u32_at(local + 22);
    uint32_t crc = u32_at(local + 14);
    if (u16_at(local + 6) != entry->flags || u16_at(local + 8) != entry->method ||
        !apply_zip64(extra, n_extra, (uint64_t *[]){&n_plain, &n_stored}, 2)) {
        return false;
    }
    if (entry->flags & FLAG_DESCRIPTOR && crc == 0 && n_stored == 0 && n_plain == 0) {
        return true; /* they stand in the descriptor */
    }
    return crc == entry->crc && n_stored == entry->n_stored && n_plain == entry->n_plain;
}

/* Behind the data, where nothing else tells that it begins at the right place; sizes of 32 bits, or
 * of 64 in large files. */
static bool descriptor_agrees(const uint8_t *bytes, size_t n, const struct entry *entry) {
    if (n < 16 || memcmp(bytes, "PK\7\10", 4) != 0 || u32_at(bytes + 4) != entry->crc) {
        return false;
    }
    return (u32_at(bytes + 8) == entry->n_stored && u32_at(bytes + 12) == entry->n_plain) ||
           (n >= 24 && u64_at(bytes + 8) == entry->n_stored &&
            u64_at(bytes + 16) == entry->n_plain);
}

/* n_left is what lies between the fixed part of the local header and the directory: name, extra
 * fields, data and descriptor must fit there. */
static utter_status read_local(const struct reader *r, const struct entry *entry,
                               struct ut_zip_member *out) {
    if (r->directory < LOCAL_BYTES || entry->offset > r->directory - LOCAL_BYTES ||
        memcmp(r->data + entry->offset, "PK\3\4", 4) != 0) {
        return fail_member(r, out, UTTER_ERROR_FORMAT, "no local header where it should be");
    }
    const uint8_t *local = r->data + entry->offset;
    size_t n_left = r->directory - (size_t)entry->offset - LOCAL_BYTES;
    size_t n_name = u16_at(local + 26), n_extra = u16_at(local + 28);
    if (n_name + n_extra > n_left || entry->n_stored > n_left - n_name - n_extra) {
        return fail_member(r, out, UTTER_ERROR_FORMAT, "data beyond the end of the file");
    }
    if (n_name != strlen(out->name) || memcmp(local + LOCAL_BYTES, out->name, n_name) != 0) {
        return fail_member(r, out, UTTER_ERROR_FORMAT, "its local header has another name");
    }
    if (!local_agrees(local, local + LOCAL_BYTES + n_name, n_extra, entry)) {
        return fail_member(r, out, UTTER_ERROR_FORMAT,
                           "its local header does not agree with the directory");
    }
    size_t n_before = n_name + n_extra + (size_t)entry->n_stored;
    if (entry->flags & FLAG_DESCRIPTOR &&
        !descriptor_agrees(local + LOCAL_BYTES + n_before, n_left - n_before, entry)) {
        return fail_member(r, out, UTTER_ERROR_FORMAT, "no descriptor behind its data");
    }
    out->header = (size_t)entry->offset;
    out->data = (size_t)entry->offset + LOCAL_BYTES + n_name + n_extra;
    out->n_bytes = (size_t)entry->n_stored;
    out->crc = entry->crc;
    out->is_stored = entry->method == 0;
    return UTTER_OK;
}

/* Judges what the fixed part says. */
static utter_status check_entry(const struct reader *r, const struct entry *entry,
                                const struct ut_zip_member *member) {
    if (entry->flags & (FLAG_ENCRYPTED | FLAG_STRONG | FLAG_MASKED)) {
        return fail_member(r, member, UTTER_ERROR_UNSUPPORTED, "encrypted");
    }
    if (u16_at(entry->bytes + 34) != 0) {
        return fail_member(r, member, UTTER_ERROR_UNSUPPORTED, "on another disk");
    }
    return entry->method != 0 || entry->n_stored == entry->n_plain
               ? UTTER_OK
               : fail_member(r, member, UTTER_ERROR_FORMAT, "stored with two different sizes");
}

/* Offsets in an entry: 8 flags, 10 method, 16 checksum, 20 and 24 sizes, 28 to 32 lengths of what
 * follows, 34 disk, 42 local header. The three lengths are of 16 bits: their sum cannot wrap. */
static utter_status read_entry(const struct reader *r, size_t *pos, struct ut_zip_member *out) {
    const uint8_t *bytes = r->data + *pos;
    size_t n_left = r->directory + r->n_directory - *pos;
    if (n_left < ENTRY_BYTES || memcmp(bytes, "PK\1\2", 4) != 0) {
        return fail_at(r, *pos, "no entry of the directory");
    }
    size_t n_name = u16_at(bytes + 28), n_extra = u16_at(bytes + 30), n_note = u16_at(bytes + 32);
    if (n_name + n_extra + n_note > n_left - ENTRY_BYTES) {
        return fail_at(r, *pos, "an entry that is longer than the directory");
    }
    out->name = ut_blocks_strndup(r->blocks, (const char *)bytes + ENTRY_BYTES, n_name, r->err);
    if (!out->name) {
        return r->blocks->status;
    }
    if (strlen(out->name) != n_name) {
        return fail_at(r, *pos, "a name with a NUL");
    }
    struct entry entry = {.bytes = bytes,
                          .offset = u32_at(bytes + 42),
                          .n_stored = u32_at(bytes + 20),
                          .n_plain = u32_at(bytes + 24),
                          .crc = u32_at(bytes + 16),
                          .flags = u16_at(bytes + 8),
                          .method = u16_at(bytes + 10)};
    if (!apply_zip64(bytes + ENTRY_BYTES + n_name, n_extra,
                     (uint64_t *[]){&entry.n_plain, &entry.n_stored, &entry.offset}, 3)) {
        return fail_member(r, out, UTTER_ERROR_FORMAT, "its extra fields are damaged");
    }
    *pos += ENTRY_BYTES + n_name + n_extra + n_note;
    utter_status status = check_entry(r, &entry, out);
    return status ? status : read_local(r, &entry, out);
}

/* n_members was held against the directory's bytes, so two arrays of that size are safe. */
static utter_status read_directory(struct reader *r) {
    struct ut_zip *zip = r->zip;
    size_t n = (size_t)r->n_members;
    zip->members = ut_blocks_alloc(r->blocks, n, sizeof *zip->members, r->err);
    zip->by_name = ut_blocks_alloc(r->blocks, n, sizeof *zip->by_name, r->err);
    if (!zip->members || !zip->by_name) {
        return r->blocks->status;
    }
    size_t pos = r->directory;
    for (; zip->n_members < n; zip->n_members++) {
        utter_status status = read_entry(r, &pos, &zip->members[zip->n_members]);
        if (status) {
            return status;
        }
    }
    return pos == r->directory + r->n_directory
               ? UTTER_OK
               : fail_at(r, pos, "bytes behind the last entry of the directory");
}

/* ---- The whole file ------------------------------------------------------------------------- */

/* Members that begin at the same header overlap, whatever their order. */
static int compare_places(uint32_t a, uint32_t b, const void *context) {
    const struct ut_zip_member *x = (const struct ut_zip_member *)context + a;
    const struct ut_zip_member *y = (const struct ut_zip_member *)context + b;
    return (x->header > y->header) - (x->header < y->header);
}

static int compare_names(uint32_t a, uint32_t b, const void *context) {
    const struct ut_zip_member *members = context;
    return strcmp(members[a].name, members[b].name);
}

/* Headers count, too: a member may not hide in another's data. */
static utter_status check_overlap(const struct reader *r) {
    const struct ut_zip *zip = r->zip;
    ut_sort_u32(zip->by_name, zip->n_members, compare_places, zip->members);
    for (size_t i = 1; i < zip->n_members; i++) {
        const struct ut_zip_member *before = &zip->members[zip->by_name[i - 1]];
        const struct ut_zip_member *member = &zip->members[zip->by_name[i]];
        if (member->header < before->data + before->n_bytes) {
            return ut_fail(r->err, UTTER_ERROR_FORMAT,
                           "zip: members \"%.100s\" and \"%.100s\" share bytes", before->name,
                           member->name);
        }
    }
    return UTTER_OK;
}

static utter_status index_names(const struct reader *r) {
    const struct ut_zip *zip = r->zip;
    ut_sort_u32(zip->by_name, zip->n_members, compare_names, zip->members);
    for (size_t i = 1; i < zip->n_members; i++) {
        if (compare_names(zip->by_name[i - 1], zip->by_name[i], zip->members) == 0) {
            return fail_member(r, &zip->members[zip->by_name[i]], UTTER_ERROR_FORMAT,
                               "stands twice in the directory");
        }
    }
    return UTTER_OK;
}

/* by_name is used twice: sorted by place to find members that share bytes, then by name for
 * good. */
utter_status ut_zip_open(struct ut_zip *zip, const uint8_t *data, size_t n,
                         struct ut_blocks *blocks, utter_error *err) {
    *zip = (struct ut_zip){.data = data, .n = n};
    struct reader reader = {.zip = zip, .data = data, .n = n, .blocks = blocks, .err = err};
    utter_status status = read_end(&reader);
    if (!status) {
        status = read_directory(&reader);
    }
    if (status) {
        return status;
    }
    for (size_t i = 0; i < zip->n_members; i++) {
        zip->by_name[i] = (uint32_t)i;
    }
    status = check_overlap(&reader);
    return status ? status : index_names(&reader);
}

const struct ut_zip_member *ut_zip_find(const struct ut_zip *zip, const char *name) {
    size_t low = 0, high = zip->n_members;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct ut_zip_member *member = &zip->members[zip->by_name[middle]];
        int order = strcmp(name, member->name);
        if (order == 0) {
            return member;
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return NULL;
}

utter_status ut_zip_check_stored(const struct ut_zip *zip, utter_error *err) {
    for (size_t i = 0; i < zip->n_members; i++) {
        if (!zip->members[i].is_stored) {
            return ut_fail(err, UTTER_ERROR_UNSUPPORTED,
                           "zip: member \"%.100s\" is compressed, where torch.save only stores; "
                           "pack it again without compression",
                           zip->members[i].name);
        }
    }
    return UTTER_OK;
}

/* ---- CRC-32 --------------------------------------------------------------------------------- */

/* Half a byte at a time: the members checked are small, and a table of 16 stays out of the way. */
static uint32_t crc32_of(const uint8_t *data, size_t n) {
    static const uint32_t table[16] = {0x00000000, 0x1DB71064, 0x3B6E20C8, 0x26D930AC,
                                       0x76DC4190, 0x6B6B51F4, 0x4DB26158, 0x5005713C,
                                       0xEDB88320, 0xF00F9344, 0xD6D6A3E8, 0xCB61B38C,
                                       0x9B64C2B0, 0x86D3D2D4, 0xA00AE278, 0xBDBDF21C};
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < n; i++) {
        crc ^= data[i];
        crc = (crc >> 4) ^ table[crc & 15];
        crc = (crc >> 4) ^ table[crc & 15];
    }
    return ~crc;
}

/* Used for the pickle alone: the storages are hundreds of megabytes, and reading them all would
 * undo what mapping the file gains. */
utter_status ut_zip_check_crc(const struct ut_zip *zip, const struct ut_zip_member *member,
                              utter_error *err) {
    uint32_t crc = crc32_of(zip->data + member->data, member->n_bytes);
    return crc == member->crc
               ? UTTER_OK
               : ut_fail(err, UTTER_ERROR_FORMAT,
                         "zip: member \"%.100s\" at byte %zu: checksum %08x, the directory says "
                         "%08x: the file is damaged; copy it again",
                         member->name, member->data, crc, member->crc);
}
