/* See torch_writer.h. */
#include "support/torch_writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void put_number(struct byte_buffer *file, size_t at, uint64_t value, size_t n_bytes) {
    memcpy(file->data + at, &value, n_bytes);
}

static void append_number(struct byte_buffer *out, uint64_t value, size_t n_bytes) {
    byte_buffer_append(out, &value, n_bytes);
}

/* ---- Zip ------------------------------------------------------------------------------------ */

/* Bit by bit: to check the library's own. */
static uint32_t crc32_of(const uint8_t *data, size_t n) {
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < n; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ (crc & 1 ? 0xEDB88320 : 0);
        }
    }
    return ~crc;
}

enum { FLAGS = 0x0808, PADDING = 5 };

static void append_local(struct zip_writer *zip, const struct zip_member *member, uint32_t crc) {
    struct byte_buffer *file = &zip->file;
    const char *name = member->local_name ? member->local_name : member->name;
    uint32_t n = member->has_sizes ? (uint32_t)member->n : 0;
    byte_buffer_append(file, "PK\3\4\0\0", 6);
    append_number(file, member->has_sizes ? 0 : FLAGS, 2);
    append_number(file, 0, 6); /* method, time, date */
    append_number(file, member->has_sizes ? crc : 0, 4);
    append_number(file, n, 4);
    append_number(file, n, 4);
    append_number(file, strlen(name), 2);
    append_number(file, 4 + PADDING, 2);
    byte_buffer_printf(file, "%s", name);
    byte_buffer_append(file, "FB", 2);
    append_number(file, PADDING, 2);
    byte_buffer_append(file, "ZZZZZ", PADDING);
}

static void append_entry(struct zip_writer *zip, const struct zip_member *member, uint32_t crc,
                         size_t local) {
    struct byte_buffer *out = &zip->directory;
    byte_buffer_append(out, "PK\1\2\0\0\0\0", 8);
    append_number(out, member->has_sizes ? 0 : FLAGS, 2);
    append_number(out, 0, 6);
    append_number(out, crc, 4);
    append_number(out, member->is_wide ? UINT32_MAX : member->n, 4);
    append_number(out, member->is_wide ? UINT32_MAX : member->n, 4);
    append_number(out, strlen(member->name), 2);
    append_number(out, member->is_wide ? 28 : 0, 2);
    append_number(out, 0, 2); /* comment */
    append_number(out, 0, 8); /* disk, attributes */
    append_number(out, member->is_wide ? UINT32_MAX : local, 4);
    byte_buffer_printf(out, "%s", member->name);
    if (member->is_wide) {
        append_number(out, 1, 2);
        append_number(out, 24, 2);
        append_number(out, member->n, 8);
        append_number(out, member->n, 8);
        append_number(out, local, 8);
    }
}

void zip_add(struct zip_writer *zip, const struct zip_member *member) {
    uint32_t crc = crc32_of(member->data, member->n);
    struct zip_place *place = &zip->places[zip->n_members++];
    place->local = zip->file.n;
    place->entry = zip->directory.n;
    append_local(zip, member, crc);
    place->data = zip->file.n;
    byte_buffer_append(&zip->file, member->data, member->n);
    if (!member->has_sizes) {
        byte_buffer_append(&zip->file, "PK\7\10", 4);
        append_number(&zip->file, crc, 4);
        append_number(&zip->file, member->n, 4);
        append_number(&zip->file, member->n, 4);
    }
    append_entry(zip, member, crc, place->local);
}

static void append_end64(struct zip_writer *zip, size_t n_directory) {
    struct byte_buffer *file = &zip->file;
    zip->end64 = file->n;
    byte_buffer_append(file, "PK\6\6", 4);
    append_number(file, 44, 8);
    append_number(file, 0, 4); /* versions */
    append_number(file, 0, 8); /* disks */
    append_number(file, zip->n_members, 8);
    append_number(file, zip->n_members, 8);
    append_number(file, n_directory, 8);
    append_number(file, zip->directory_at, 8);
    zip->locator = file->n;
    byte_buffer_append(file, "PK\6\7\0\0\0\0", 8);
    append_number(file, zip->end64, 8);
    append_number(file, 1, 4);
}

void zip_finish(struct zip_writer *zip, bool with_zip64) {
    struct byte_buffer *file = &zip->file;
    size_t n_directory = zip->directory.n;
    zip->directory_at = file->n;
    byte_buffer_append(file, zip->directory.data, n_directory);
    for (size_t i = 0; i < zip->n_members; i++) {
        zip->places[i].entry += zip->directory_at;
    }
    if (with_zip64) {
        append_end64(zip, n_directory);
    }
    zip->end = file->n;
    byte_buffer_append(file, "PK\5\6\0\0\0\0", 8);
    append_number(file, zip->n_members, 2);
    append_number(file, zip->n_members, 2);
    append_number(file, n_directory, 4);
    append_number(file, zip->directory_at, 4);
    append_number(file, 0, 2);
}

void zip_free(struct zip_writer *zip) {
    byte_buffer_free(&zip->file);
    byte_buffer_free(&zip->directory);
    *zip = (struct zip_writer){0};
}

/* ---- Pickles -------------------------------------------------------------------------------- */

static void write_number(struct byte_buffer *out, long long value) {
    bool is_small = value >= INT32_MIN && value <= INT32_MAX;
    byte_buffer_append(out, is_small ? "J" : "\x8A\x08", is_small ? 1 : 2);
    append_number(out, (uint64_t)value, is_small ? 4 : 8);
}

static void write_global(struct byte_buffer *out, const char *word, size_t n) {
    size_t dot = n;
    while (dot > 1 && word[dot - 1] != '.') {
        dot--;
    }
    byte_buffer_printf(out, "c%.*s\n%.*s\n", (int)(dot - 2), word + 1, (int)(n - dot), word + dot);
}

static bool is_word(const char *word, size_t n, const char *name) {
    return n == strlen(name) && memcmp(word, name, n) == 0;
}

static void write_word(struct byte_buffer *out, const char *word, size_t n) {
    static const struct {
        const char *name;
        uint8_t opcode;
    } names[] = {{"True", 0x88}, {"False", 0x89}, {"T1", 0x85}, {"T2", 0x86}, {"T3", 0x87}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (is_word(word, n, names[i].name)) {
            byte_buffer_append_u8(out, names[i].opcode);
            return;
        }
    }
    if (is_word(word, n, "proto")) {
        byte_buffer_append(out, "\x80\x02", 2);
    } else if (*word == '\'') {
        byte_buffer_append_u8(out, 'X');
        append_number(out, n - 2, 4);
        byte_buffer_append(out, word + 1, n - 2);
    } else if (*word == '@') {
        write_global(out, word, n);
    } else if (*word == '=' || *word == '*') {
        byte_buffer_append_u8(out, *word == '=' ? 'q' : 'h');
        byte_buffer_append_u8(out, (uint8_t)strtol(word + 1, NULL, 10));
    } else if (*word == '$') {
        for (size_t i = 1; i + 1 < n; i += 2) {
            char digits[3] = {word[i], word[i + 1], '\0'};
            byte_buffer_append_u8(out, (uint8_t)strtol(digits, NULL, 16));
        }
    } else if (n > 1 || (*word >= '0' && *word <= '9')) {
        write_number(out, strtoll(word, NULL, 10));
    } else {
        byte_buffer_append_u8(out, (uint8_t)*word);
    }
}

void pickle_write(struct byte_buffer *out, const char *words) {
    while (*words) {
        size_t n = strcspn(words, " ");
        if (n > 0) {
            write_word(out, words, n);
        }
        words += n + (words[n] == ' ');
    }
}

static struct byte_buffer counting_bytes(size_t n) {
    struct byte_buffer bytes = {0};
    byte_buffer_insert(&bytes, 0, 0);
    for (size_t i = 1; i <= n; i++) {
        byte_buffer_append_u8(&bytes, (uint8_t)i);
    }
    return bytes;
}

struct byte_buffer torch_zip(const char *words, size_t n) {
    struct zip_writer zip = {0};
    struct byte_buffer pickle = {0}, storage = counting_bytes(n);
    pickle_write(&pickle, "proto");
    pickle_write(&pickle, words);
    pickle_write(&pickle, ".");
    zip_add(&zip, &(struct zip_member){.name = "m/data.pkl", .data = pickle.data, .n = pickle.n});
    zip_add(&zip, &(struct zip_member){.name = "m/byteorder", .data = "little", .n = 6});
    zip_add(&zip, &(struct zip_member){.name = "m/data/0", .data = storage.data, .n = n});
    zip_add(&zip, &(struct zip_member){.name = "m/version", .data = "3\n", .n = 2});
    zip_finish(&zip, true);
    byte_buffer_free(&pickle);
    byte_buffer_free(&storage);
    byte_buffer_free(&zip.directory);
    return zip.file;
}

struct byte_buffer torch_old(const char *words, const char *keys, uint64_t n_elements, size_t n) {
    struct byte_buffer file = {0}, storage = counting_bytes(n);
    pickle_write(&file, "proto $8A0A6CFC9C46F9206AA85019 . proto 1001 . "
                        "proto } 'little_endian' True s . proto");
    pickle_write(&file, words);
    pickle_write(&file, ". proto");
    pickle_write(&file, keys);
    pickle_write(&file, ".");
    append_number(&file, n_elements, 8);
    byte_buffer_append(&file, storage.data, n);
    byte_buffer_free(&storage);
    return file;
}
