/* The text to speak: from words of the command line, a file or standard input. Whether it is UTF-8
 * is the library's to say. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"

enum { MIB = 1 << 20, MAX_TEXT_BYTES = 64 * MIB, FIRST_BYTES = 1 << 16 };

bool cli_join_words(char **words, size_t n_words, struct cli_text *out) {
    size_t n = 1;
    for (size_t i = 0; i < n_words; i++) {
        n += strlen(words[i]) + 1;
    }
    out->bytes = malloc(n);
    if (!out->bytes) {
        cli_print_error("out of memory: %zu bytes of text", n);
        return false;
    }
    char *at = out->bytes;
    for (size_t i = 0; i < n_words; i++) {
        at = stpcpy(stpcpy(at, i > 0 ? " " : ""), words[i]);
    }
    *at = '\0';
    out->n = (size_t)(at - out->bytes);
    return true;
}

/* Reads to the end; grows by doubling, so max_bytes is best a power of two. An errno, EFBIG for too
 * much. */
static int read_all(int fd, size_t max_bytes, struct cli_text *out) {
    size_t capacity = FIRST_BYTES;
    for (;;) {
        char *grown = realloc(out->bytes, capacity + 1);
        if (!grown) {
            return ENOMEM;
        }
        out->bytes = grown;
        ssize_t n = 1;
        while (n > 0 && out->n < capacity) {
            n = read(fd, out->bytes + out->n, capacity - out->n);
            if (n < 0 && errno != EINTR) {
                return errno;
            }
            out->n += n > 0 ? (size_t)n : 0;
            n = n < 0 ? 1 : n;
        }
        out->bytes[out->n] = '\0';
        if (n == 0) {
            return 0;
        }
        if (capacity >= max_bytes) {
            return EFBIG;
        }
        capacity *= 2;
    }
}

/* A zero byte would end the text early for everything that takes it as a string. */
static bool check_text(const char *name, struct cli_text *text) {
    const char *zero = memchr(text->bytes, '\0', text->n);
    if (zero) {
        cli_print_error("%s is not text: it has a zero byte at offset %zu", name,
                        (size_t)(zero - text->bytes));
        return false;
    }
    static const char mark[] = "\xEF\xBB\xBF";
    if (text->n >= 3 && memcmp(text->bytes, mark, 3) == 0) {
        memmove(text->bytes, text->bytes + 3, text->n - 3 + 1);
        text->n -= 3;
    }
    return true;
}

/* On failure *out is empty and the message was printed. */
bool cli_read_file(const char *what, const char *path, size_t max_bytes, struct cli_text *out) {
    bool is_stdin = strcmp(path, "-") == 0;
    const char *name = is_stdin ? "standard input" : path;
    struct stat info;
    *out = (struct cli_text){0};
    int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    int error = fd < 0 || fstat(fd, &info) != 0 ? errno : S_ISDIR(info.st_mode) ? EISDIR : 0;
    if (!error) {
        error = read_all(fd, max_bytes, out);
    }
    if (!is_stdin && fd >= 0) {
        close(fd);
    }
    if (error == EFBIG) {
        cli_print_error("cannot read %s from %s: it is larger than %zu MiB%s", what, name,
                        max_bytes / MIB, max_bytes == MAX_TEXT_BYTES ? "; speak it in parts" : "");
    } else if (error) {
        cli_print_error("cannot read %s from %s: %s", what, name, strerror(error));
    }
    if (error || !check_text(name, out)) {
        free(out->bytes);
        *out = (struct cli_text){0};
        return false;
    }
    return true;
}

bool cli_read_text(const char *path, struct cli_text *out) {
    return cli_read_file("the text", path, MAX_TEXT_BYTES, out);
}

bool cli_text_is_blank(const struct cli_text *text) {
    return text->bytes[strspn(text->bytes, " \t\r\n\v\f")] == '\0';
}
