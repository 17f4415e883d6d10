/* System calls that fail on demand: a module for LD_PRELOAD, so that the program runs unchanged and
 * the calls of the libraries below it count too. The environment says which call fails:
 *
 *   UT_FAULT_CALL    its kind, a name in `kinds`; without it nothing fails
 *   UT_FAULT_AT      its number among the calls of that kind, from 1
 *   UT_FAULT_LATER   set: all later ones fail as well
 *   UT_FAULT_ERROR   the errno; 0: a short count, of the kinds that return one
 *   UT_FAULT_REPORT  a descriptor that is told, on exit, how many calls of each kind there were and
 *                    how many failed
 *
 * Calls that the C library makes within itself do not pass through here: streams and directories
 * fail when they are opened and, at the latter, where an entry is read. */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
/* The next definition after this module's: the C library's, or a sanitizer's before it. */
#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

enum kind { OPEN, READ, WRITE, FSYNC, RENAME, MMAP, CLOSE, STAT, OPENDIR, READDIR, N_KINDS };

static const char *const kinds[N_KINDS] = {"open", "read",  "write", "fsync",   "rename",
                                           "mmap", "close", "stat",  "opendir", "readdir"};

static struct {
    _Atomic long n_calls[N_KINDS], n_failed;
    const char *call;
    long at;
    bool later;
    int error;
} faults;

static long number(const char *name) {
    const char *text = getenv(name);
    return text ? strtol(text, NULL, 10) : 0;
}

__attribute__((constructor)) static void begin(void) {
    faults.call = getenv("UT_FAULT_CALL");
    faults.at = number("UT_FAULT_AT");
    faults.later = getenv("UT_FAULT_LATER") != NULL;
    faults.error = (int)number("UT_FAULT_ERROR");
}

__attribute__((destructor)) static void report(void) {
    char text[512];
    int n = 0;
    for (int i = 0; i < N_KINDS; i++) {
        n += snprintf(text + n, sizeof text - (size_t)n, "%s %ld\n", kinds[i], faults.n_calls[i]);
    }
    n += snprintf(text + n, sizeof text - (size_t)n, "failed %ld\n", faults.n_failed);
    if (getenv("UT_FAULT_REPORT")) {
        (void)!syscall(SYS_write, number("UT_FAULT_REPORT"), text, n);
    }
}

/* Is it this one's turn? */
static bool chosen(enum kind kind) {
    long call = ++faults.n_calls[kind];
    if (!faults.call || strcmp(faults.call, kinds[kind]) != 0 ||
        (faults.later ? call < faults.at : call != faults.at)) {
        return false;
    }
    faults.n_failed++;
    return true;
}

static bool fails(enum kind kind) {
    if (!chosen(kind)) {
        return false;
    }
    errno = faults.error;
    return true;
}

/* How many of `n` bytes the call may move, -1 when it fails. */
static ssize_t allowed(enum kind kind, size_t n) {
    if (!chosen(kind)) {
        return (ssize_t)n;
    }
    if (faults.error == 0) {
        return (ssize_t)(n > 1 ? n / 2 : n);
    }
    errno = faults.error;
    return -1;
}

/* ---- Opening -------------------------------------------------------------------------------- */

static int open_mode(int flags, va_list list) {
    return flags & (O_CREAT | __O_TMPFILE) ? va_arg(list, int) : 0;
}

EXPORT int open64(const char *path, int flags, ...) {
    va_list list;
    va_start(list, flags);
    int mode = open_mode(flags, list);
    va_end(list);
    return fails(OPEN) ? -1 : NEXT(open64)(path, flags, mode);
}

EXPORT int openat64(int folder, const char *path, int flags, ...) {
    va_list list;
    va_start(list, flags);
    int mode = open_mode(flags, list);
    va_end(list);
    return fails(OPEN) ? -1 : NEXT(openat64)(folder, path, flags, mode);
}

/* What FORTIFY makes of an open without a mode. */
EXPORT int __open64_2(const char *path, int flags);
EXPORT int __open64_2(const char *path, int flags) {
    return open64(path, flags);
}

EXPORT int __openat64_2(int folder, const char *path, int flags);
EXPORT int __openat64_2(int folder, const char *path, int flags) {
    return openat64(folder, path, flags);
}

EXPORT FILE *fopen64(const char *path, const char *mode) {
    return fails(OPEN) ? NULL : NEXT(fopen64)(path, mode);
}

/* openat2 has no function of its own. */
EXPORT long syscall(long which, ...) {
    va_list list;
    long a[6];
    va_start(list, which);
    for (int i = 0; i < 6; i++) {
        a[i] = va_arg(list, long);
    }
    va_end(list);
    if (which == SYS_openat2 && fails(OPEN)) {
        return -1;
    }
    return NEXT(syscall)(which, a[0], a[1], a[2], a[3], a[4], a[5]);
}

EXPORT DIR *opendir(const char *path) {
    return fails(OPENDIR) ? NULL : NEXT(opendir)(path);
}

EXPORT struct dirent64 *readdir64(DIR *dir) {
    return fails(READDIR) ? NULL : NEXT(readdir64)(dir);
}

EXPORT int stat64(const char *path, struct stat64 *out) {
    return fails(STAT) ? -1 : NEXT(stat64)(path, out);
}

EXPORT int fstat64(int fd, struct stat64 *out) {
    return fails(STAT) ? -1 : NEXT(fstat64)(fd, out);
}

/* ---- Bytes ---------------------------------------------------------------------------------- */

EXPORT ssize_t read(int fd, void *data, size_t n) {
    ssize_t n_allowed = allowed(READ, n);
    return n_allowed < 0 ? -1 : NEXT(read)(fd, data, (size_t)n_allowed);
}

EXPORT ssize_t pread64(int fd, void *data, size_t n, off64_t offset) {
    ssize_t n_allowed = allowed(READ, n);
    return n_allowed < 0 ? -1 : NEXT(pread64)(fd, data, (size_t)n_allowed, offset);
}

EXPORT ssize_t write(int fd, const void *data, size_t n) {
    ssize_t n_allowed = allowed(WRITE, n);
    return n_allowed < 0 ? -1 : NEXT(write)(fd, data, (size_t)n_allowed);
}

EXPORT ssize_t pwrite64(int fd, const void *data, size_t n, off64_t offset) {
    ssize_t n_allowed = allowed(WRITE, n);
    return n_allowed < 0 ? -1 : NEXT(pwrite64)(fd, data, (size_t)n_allowed, offset);
}

EXPORT void *mmap64(void *at, size_t n, int protection, int flags, int fd, off64_t offset) {
    return fails(MMAP) ? MAP_FAILED : NEXT(mmap64)(at, n, protection, flags, fd, offset);
}

/* The names of the same functions in libraries that were built for files below 2 GB. */
#if __WORDSIZE == 64
#define SAME(name, original)                                                                       \
    EXPORT __typeof__(original) same_##name __asm__(#name) __attribute__((alias(#original)))
SAME(open, open64);
SAME(__open_2, __open64_2);
SAME(openat, openat64);
SAME(fopen, fopen64);
SAME(readdir, readdir64);
SAME(stat, stat64);
SAME(fstat, fstat64);
SAME(pread, pread64);
SAME(pwrite, pwrite64);
SAME(mmap, mmap64);
#endif

/* ---- The end of a file ---------------------------------------------------------------------- */

EXPORT int fsync(int fd) {
    return fails(FSYNC) ? -1 : NEXT(fsync)(fd);
}

EXPORT int rename(const char *from, const char *to) {
    return fails(RENAME) ? -1 : NEXT(rename)(from, to);
}

/* Closed also when it reports a failure, as on Linux. */
EXPORT int close(int fd) {
    int code = NEXT(close)(fd);
    return fails(CLOSE) ? -1 : code;
}
