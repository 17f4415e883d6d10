/* See gguf_text.h. */
#include "support/gguf_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void append_integer(struct gguf_text *out, uint64_t value, size_t n_bytes) {
    if (out->n_integers < GGUF_TEXT_MAX_INTEGERS) {
        out->integers[out->n_integers].at = out->file.n;
        out->integers[out->n_integers++].n_bytes = n_bytes;
    }
    byte_buffer_append(&out->file, &value, n_bytes);
}

static void append_hex(struct gguf_text *out, const char *digits, size_t n) {
    for (size_t i = 0; i + 1 < n; i += 2) {
        char pair[3] = {digits[i], digits[i + 1], '\0'};
        byte_buffer_append_u8(&out->file, (uint8_t)strtoul(pair, NULL, 16));
    }
}

static void append_zeros(struct gguf_text *out, size_t multiple) {
    while (out->file.n % multiple != 0) {
        byte_buffer_append_u8(&out->file, 0);
    }
}

/* `word` is "name:argument", n bytes. */
static void append_word(struct gguf_text *out, const char *word, size_t n) {
    const char *colon = memchr(word, ':', n);
    const char *argument = colon ? colon + 1 : "";
    size_t n_argument = colon ? n - (size_t)(argument - word) : 0;
    if (n == 4 && memcmp(word, "GGUF", 4) == 0) {
        byte_buffer_append(&out->file, word, 4);
    } else if (colon == word + 1 && strchr("1248", *word)) {
        append_integer(out, strtoull(argument, NULL, 0), (size_t)(*word - '0'));
    } else if (colon == word + 1 && *word == 's') {
        append_integer(out, n_argument, 8);
        byte_buffer_append(&out->file, argument, n_argument);
    } else if (colon == word + 1 && *word == 'S') {
        size_t length = strtoul(argument, NULL, 10);
        append_integer(out, length, 8);
        memset(byte_buffer_insert(&out->file, out->file.n, length), 'n', length);
    } else if (colon == word + 1 && *word == 'f') {
        float value = strtof(argument, NULL);
        byte_buffer_append(&out->file, &value, sizeof value);
    } else if (colon == word + 1 && *word == 'd') {
        double value = strtod(argument, NULL);
        byte_buffer_append(&out->file, &value, sizeof value);
    } else if (colon == word + 1 && *word == 'x') {
        append_hex(out, argument, n_argument);
    } else if (strncmp(word, "pad:", 4) == 0) {
        append_zeros(out, strtoul(argument, NULL, 10));
    } else if (strncmp(word, "data:", 5) == 0) {
        size_t n_data = strtoul(argument, NULL, 10);
        for (size_t i = 1; i <= n_data; i++) {
            byte_buffer_append_u8(&out->file, (uint8_t)i);
        }
    } else {
        fprintf(stderr, "test support: no word for a GGUF file: %s\n", word);
        exit(99);
    }
}

void gguf_text_append(struct gguf_text *out, const char *words) {
    for (;;) {
        words += strspn(words, " ");
        size_t n = strcspn(words, " ");
        if (n == 0) {
            return;
        }
        append_word(out, words, n);
        words += n;
    }
}

void gguf_text_free(struct gguf_text *text) {
    byte_buffer_free(&text->file);
    *text = (struct gguf_text){0};
}
