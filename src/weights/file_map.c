/* mmap with a SIGBUS handler. POSIX gives no other way to learn that a mapped file was truncated:
 * the access itself raises the signal, in whatever thread and kernel of ours it happens.
 *
 * The table of mappings and the saved previous action are the library's only mutable globals beside
 * the processor table: a signal handler has no argument to pass them in. The table is lock-free
 * since a handler must not wait; a slot belongs to the thread that took it from FREE to TAKEN. A
 * program that replaces the handler without calling the old one loses the protection; one that
 * unloads the library after the first mapping would leave the handler dangling, so it must not. */
#include "weights/file_map.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/checked.h"

/* A model maps one file, with ONNX's external data up to 65: room for many voices. The handler
 * walks over all of them, so it is no place for a large number. */
enum { MAX_MAPPINGS = 1024 };

enum slot_state { SLOT_FREE, SLOT_TAKEN, SLOT_ACTIVE };

/* `state` is stored last when a slot is filled and first when it is freed: a handler that sees
 * ACTIVE sees the range that goes with it. All accesses are sequentially consistent; none is
 * hot. */
struct slot {
    _Atomic int state;
    _Atomic uintptr_t begin, end;
    _Atomic bool damaged;
};

static struct slot slots[MAX_MAPPINGS];
static struct sigaction previous;
static pthread_once_t install_once = PTHREAD_ONCE_INIT;

/* ---- The signal handler: async-signal-safe work, and mmap, which is a bare system call ------ */

/* Puts a page of zeros where the lost one was: the access that faulted is repeated on return and
 * finds it. The file is not touched. */
static bool replace_page(uintptr_t address) {
    uintptr_t page_bytes = (uintptr_t)sysconf(_SC_PAGESIZE);
    void *page = (void *)(address & ~(page_bytes - 1));
    return mmap(page, page_bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
           page;
}

/* False when the address belongs to no mapping of ours; then the fault is not for us to judge. */
static bool repair(uintptr_t address) {
    for (int i = 0; i < MAX_MAPPINGS; i++) {
        struct slot *slot = &slots[i];
        if (atomic_load(&slot->state) == SLOT_ACTIVE && address >= atomic_load(&slot->begin) &&
            address < atomic_load(&slot->end)) {
            atomic_store(&slot->damaged, true);
            return replace_page(address);
        }
    }
    return false;
}

/* Runs on the thread that faulted, in the middle of any code at all: it allocates nothing, takes no
 * lock and leaves errno as it was. */
static void on_sigbus(int number, siginfo_t *info, void *context) {
    int saved_errno = errno;
    bool is_fault = info->si_code > 0; /* else sent by kill */
    if (is_fault && repair((uintptr_t)info->si_addr)) {
        errno = saved_errno;
        return;
    }
    if (previous.sa_flags & SA_SIGINFO) {
        previous.sa_sigaction(number, info, context);
    } else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
        previous.sa_handler(number);
    } else if (is_fault || previous.sa_handler == SIG_DFL) {
        /* Dies on return: of the raised signal, or of the same access again. */
        signal(SIGBUS, SIG_DFL);
        raise(SIGBUS);
    }
    errno = saved_errno;
}

static void install_handler(void) {
    struct sigaction action = {.sa_sigaction = on_sigbus,
                               .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
    sigemptyset(&action.sa_mask);
    /* Read first: the handler may run before a sigaction that does both has stored the old one. */
    sigaction(SIGBUS, NULL, &previous);
    sigaction(SIGBUS, &action, NULL);
}

/* ---- Slots --------------------------------------------------------------------------------- */

/* Any number of threads may try at once: the exchange from FREE to TAKEN is won by one. -1 when all
 * are in use. */
static int take_slot(const void *data, size_t n) {
    for (int i = 0; i < MAX_MAPPINGS; i++) {
        int expected = SLOT_FREE;
        if (atomic_compare_exchange_strong(&slots[i].state, &expected, SLOT_TAKEN)) {
            atomic_store(&slots[i].begin, (uintptr_t)data);
            atomic_store(&slots[i].end, (uintptr_t)data + n);
            atomic_store(&slots[i].damaged, false);
            atomic_store(&slots[i].state, SLOT_ACTIVE);
            return i;
        }
    }
    return -1;
}

/* ---- Opening ------------------------------------------------------------------------------- */

static const char *error_text(int error, char *buffer, size_t n) {
    return strerror_r(error, buffer, n); /* the GNU one: returns the text */
}

/* Maps fd, which it owns from here on. */
static utter_status map_descriptor(struct ut_mem *mem, int fd, const char *path,
                                   const struct stat *info, struct ut_file_map *out,
                                   utter_error *err) {
    char text[128];
    size_t n = (size_t)info->st_size;
    void *data = MAP_FAILED;
    errno = ENOMEM; /* of a file larger than the address space */
    if (n == (uint64_t)info->st_size) {
        data = mmap(NULL, n, PROT_READ, MAP_PRIVATE, fd, 0);
    }
    if (data == MAP_FAILED) {
        int error = errno;
        close(fd);
        return ut_fail(err, error == ENOMEM ? UTTER_ERROR_MEMORY : UTTER_ERROR_IO,
                       "%s: cannot be mapped: %s", path, error_text(error, text, sizeof text));
    }
    pthread_once(&install_once, install_handler);
    int slot = take_slot(data, n);
    if (slot < 0) {
        munmap(data, n);
        close(fd);
        return ut_fail(err, UTTER_ERROR_MEMORY,
                       "%s: %d files are mapped already, close a voice first", path, MAX_MAPPINGS);
    }
    *out = (struct ut_file_map){
        .mem = mem, .data = data, .n = n, .fd = fd, .slot = slot, .modified = info->st_mtim};
    atomic_fetch_add(&mem->mapped_bytes, n);
    return UTTER_OK;
}

/* The checks are made on the descriptor, not on the path: what was checked is what is mapped, even
 * if somebody renames files meanwhile. */
utter_status ut_file_map_open(struct ut_mem *mem, const char *path, struct ut_file_map *out,
                              utter_error *err) {
    *out = (struct ut_file_map){0};
    char text[128];
    /* O_NONBLOCK: opening a pipe must not wait for its writer. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat info;
    if (fd < 0 || fstat(fd, &info) != 0) {
        int error = errno;
        if (fd >= 0) {
            close(fd);
        }
        bool missing = error == ENOENT || error == ENOTDIR;
        return ut_fail(err, missing ? UTTER_ERROR_NOT_FOUND : UTTER_ERROR_IO, "%s: %s", path,
                       missing ? "there is no such file" : error_text(error, text, sizeof text));
    }
    utter_status code = UTTER_ERROR_ARGUMENT;
    const char *what = S_ISDIR(info.st_mode)    ? "is a folder; name the model file in it"
                       : !S_ISREG(info.st_mode) ? "is no regular file"
                                                : NULL;
    if (!what && info.st_size == 0) {
        code = UTTER_ERROR_FORMAT;
        what = "is empty; copy or download it again";
    }
    if (what) {
        close(fd);
        return ut_fail(err, code, "%s: %s", path, what);
    }
    return map_descriptor(mem, fd, path, &info, out, err);
}

/* Relative, and made of names only: no empty one, no "." and no "..". */
static bool is_plain_path(const char *path) {
    size_t n;
    for (const char *name = path;; name += n + 1) {
        n = strcspn(name, "/");
        if (n == 0 || (n == 1 && name[0] == '.') || (n == 2 && name[0] == '.' && name[1] == '.')) {
            return false;
        }
        if (name[n] == '\0') {
            return true;
        }
    }
}

/* `at` is the folder reached so far, owned unless it is the caller's; O_NOFOLLOW on every component
 * is what keeps a link from leading outside. */
int ut_open_beneath_walk(int folder, const char *relative) {
    if (!is_plain_path(relative)) {
        errno = EXDEV;
        return -1;
    }
    int at = folder;
    for (const char *name = relative;;) {
        char component[256]; /* NAME_MAX and a NUL */
        size_t n = strcspn(name, "/");
        if (n >= sizeof component) {
            errno = ENAMETOOLONG;
            break;
        }
        memcpy(component, name, n);
        component[n] = '\0';
        bool is_last = name[n] == '\0';
        int flags = is_last ? O_RDONLY | O_NONBLOCK | O_NOCTTY : O_PATH | O_DIRECTORY;
        int next = openat(at, component, flags | O_CLOEXEC | O_NOFOLLOW);
        int error = errno;
        if (at != folder) {
            close(at);
        }
        at = next;
        errno = error;
        if (next < 0 || is_last) {
            return next;
        }
        name += n + 1;
    }
    if (at != folder) {
        close(at);
        errno = ENAMETOOLONG;
    }
    return -1;
}

/* One system call where the kernel has it (Linux 5.6): it cannot be raced by somebody who swaps a
 * folder for a link between two components. */
static int open_beneath(int folder, const char *relative) {
    struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
                           .resolve =
                               RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
    long fd = syscall(SYS_openat2, folder, relative, &how, sizeof how);
    /* EPERM: a sandbox that does not know the call. EAGAIN: a rename elsewhere raced with it. */
    if (fd < 0 && (errno == ENOSYS || errno == EPERM || errno == EAGAIN)) {
        return ut_open_beneath_walk(folder, relative);
    }
    return (int)fd;
}

/* A model file is not trusted to name files: one with ../ or a link could make the reader load what
 * the user never meant to show. A second hard link is refused for the same reason: the file may be
 * another user's, linked from elsewhere. */
utter_status ut_file_map_open_beneath(struct ut_mem *mem, int folder, const char *relative,
                                      struct ut_file_map *out, utter_error *err) {
    *out = (struct ut_file_map){0};
    if (!is_plain_path(relative)) {
        return ut_fail(err, UTTER_ERROR_FORMAT,
                       "external file \"%.200s\": not a plain relative path "
                       "below the model's folder",
                       relative);
    }
    char text[128];
    int fd = open_beneath(folder, relative);
    struct stat info;
    if (fd < 0 || fstat(fd, &info) != 0) {
        int error = errno;
        if (fd >= 0) {
            close(fd);
        }
        bool is_link = error == ELOOP || error == EXDEV;
        utter_status code = error == ENOENT ? UTTER_ERROR_NOT_FOUND
                            : is_link       ? UTTER_ERROR_FORMAT
                                            : UTTER_ERROR_IO;
        return ut_fail(err, code, "external file \"%.200s\": %s", relative,
                       error == ENOENT ? "missing beside the model"
                       : is_link       ? "symbolic links are not followed"
                                       : error_text(error, text, sizeof text));
    }
    const char *what = !S_ISREG(info.st_mode) ? "is no regular file"
                       : info.st_nlink != 1   ? "has more than one hard link"
                       : info.st_size == 0    ? "is empty"
                                              : NULL;
    if (what) {
        close(fd);
        return ut_fail(err, UTTER_ERROR_FORMAT, "external file \"%.200s\" %s", relative, what);
    }
    return map_descriptor(mem, fd, relative, &info, out, err);
}

/* ---- Use ----------------------------------------------------------------------------------- */

void ut_file_map_close(struct ut_file_map *map) {
    if (map->mem) {
        /* Out of the table first: the address may be another mapping's as soon as it is free. */
        atomic_store(&slots[map->slot].state, SLOT_FREE);
        munmap((void *)map->data, map->n);
        close(map->fd);
        atomic_fetch_sub(&map->mem->mapped_bytes, map->n);
        *map = (struct ut_file_map){0};
    }
}

bool ut_file_map_contains(const struct ut_file_map *map, const void *data) {
    uintptr_t at = (uintptr_t)data, begin = (uintptr_t)map->data;
    return map->mem && at >= begin && at - begin < map->n;
}

/* Rounded inwards: the pages at both ends may hold parts of other tensors that are still in use. */
void ut_file_map_release(const struct ut_file_map *map, const void *data, size_t n) {
    uintptr_t page_bytes = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t begin = ((uintptr_t)data + page_bytes - 1) & ~(page_bytes - 1);
    uintptr_t end = ((uintptr_t)data + n) & ~(page_bytes - 1);
    if (ut_file_map_contains(map, data) && begin < end) {
        madvise((void *)begin, end - begin, MADV_DONTNEED);
    }
}

bool ut_file_map_intact(const struct ut_file_map *map) {
    struct stat info;
    /* The size tells of a cut within the last page that is left: its tail is zeros, without a
     * signal. */
    return !atomic_load(&slots[map->slot].damaged) && fstat(map->fd, &info) == 0 &&
           (uint64_t)info.st_size == map->n && info.st_mtim.tv_sec == map->modified.tv_sec &&
           info.st_mtim.tv_nsec == map->modified.tv_nsec;
}
