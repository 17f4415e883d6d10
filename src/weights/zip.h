/* The directory of a zip file: where each member's bytes lie. */
#ifndef UT_WEIGHTS_ZIP_H
#define UT_WEIGHTS_ZIP_H

#include <stdbool.h>

#include "base/error.h"
#include "weights/blocks.h"

struct ut_zip_member {
    const char *name; /* a copy without NUL inside, lives as long as the blocks */
    size_t header;    /* offset of the local header in the file */
    size_t data;      /* offset of the bytes; data + n_bytes lies before the directory */
    size_t n_bytes;   /* in the file */
    uint32_t crc;     /* of the unpacked bytes */
    bool is_stored;   /* else compressed */
};

/* Members and names lie in the blocks given to ut_zip_open and live as long as those and the
 * file. */
struct ut_zip {
    const uint8_t *data; /* the file */
    size_t n;
    struct ut_zip_member *members; /* in the order of the directory */
    uint32_t *by_name;
    size_t n_members;
};

/* Reads and checks the whole directory. ERROR_FORMAT, with offset, when it contradicts the file or
 * itself; ERROR_UNSUPPORTED for encrypted members and archives of several disks. */
UTTER_CHECKED utter_status ut_zip_open(struct ut_zip *zip, const uint8_t *data, size_t n,
                                       struct ut_blocks *blocks, utter_error *err);

/* NULL when there is none; names are compared byte by byte. O(log n). */
const struct ut_zip_member *ut_zip_find(const struct ut_zip *zip, const char *name);

/* ERROR_UNSUPPORTED with the first member that is compressed. */
UTTER_CHECKED utter_status ut_zip_check_stored(const struct ut_zip *zip, utter_error *err);

/* ERROR_FORMAT when a stored member's bytes are not those that were written. Reads them all. */
UTTER_CHECKED utter_status ut_zip_check_crc(const struct ut_zip *zip,
                                            const struct ut_zip_member *member, utter_error *err);

#endif
