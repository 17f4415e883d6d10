/* Writes zip files and pickles as torch.save does, and lets a test break any field of them. */
#ifndef UT_TESTS_TORCH_WRITER_H
#define UT_TESTS_TORCH_WRITER_H

#include <stdbool.h>

#include "support/byte_buffer.h"

/* ---- Zip: zip_add for each member, then zip_finish ---- */

struct zip_member {
    const char *name;
    const char *local_name; /* NULL: the same */
    const void *data;
    size_t n;
    bool has_sizes; /* in the local header, instead of a descriptor behind the data */
    bool is_wide;   /* sizes and offset in a zip64 field of the entry */
};

struct zip_place {      /* offsets in the file */
    size_t local, data; /* header and bytes of the member */
    size_t entry;       /* in the directory; zip_finish adds where that begins */
};

enum { ZIP_MAX_MEMBERS = 64 };

struct zip_writer { /* starts as {0} */
    struct byte_buffer file, directory;
    struct zip_place places[ZIP_MAX_MEMBERS];
    size_t n_members;
    size_t directory_at, end64, locator, end; /* set by zip_finish */
};

void zip_add(struct zip_writer *zip, const struct zip_member *member);
/* With the zip64 end record and its locator, as torch 2 writes them, or without. */
void zip_finish(struct zip_writer *zip, bool with_zip64);
void zip_free(struct zip_writer *zip);

/* Little-endian, n_bytes wide. */
void put_number(struct byte_buffer *file, size_t at, uint64_t value, size_t n_bytes);

/* ---- Pickles ---- */

/* Appends opcodes, written as words between spaces:
 *   proto               PROTO 2
 *   'text'              BINUNICODE (no spaces inside)
 *   12 -1 99999999999   BININT or LONG1
 *   @module.name        GLOBAL; the last dot separates the two
 *   True False T1 T2 T3 NEWTRUE, NEWFALSE, TUPLE1..3
 *   =3 *3               BINPUT 3, BINGET 3
 *   $8A01FF             these bytes
 *   anything else       one opcode, as in pickletools: } ] ) ( t R Q s u a e N b . */
void pickle_write(struct byte_buffer *out, const char *words);

/* The words that make a persistent id and a tensor: (storage, offset, size, stride). */
#define STORAGE(type, key, n) "( 'storage' @torch." type "Storage '" key "' 'cpu' " n " t Q "
#define TENSOR(storage, offset, size, stride)                                                      \
    "@torch._utils._rebuild_tensor_v2 ( " storage offset " ( " size " t ( " stride " t False "     \
    "@collections.OrderedDict ) R t R "

/* A whole file: the pickle of `words` between PROTO and STOP, and n bytes 1, 2, 3, ... as storage
 * 0. */
struct byte_buffer torch_zip(const char *words, size_t n);

/* The same in the old format; `keys` makes the list, such as "] '0' a", and the storage has
 * n_elements of n bytes in all. */
struct byte_buffer torch_old(const char *words, const char *keys, uint64_t n_elements, size_t n);

#endif
