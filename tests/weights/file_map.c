/* Mapped files: what can be opened, truncation while in use, who gets a foreign SIGBUS. */
#include "weights/file_map.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "support/byte_buffer.h"
#include "temp_folder.h"
#include "weights_check.h"

enum { PAGE = 4096, N_PAGES = 8 };

static struct ut_mem mem;

/* "file" is N_PAGES pages of 'x'. */
static int setup(void **state) {
    ut_mem_init(&mem, NULL);
    temp_folder_create();
    char *data = test_alloc(N_PAGES * PAGE);
    memset(data, 'x', N_PAGES * PAGE);
    temp_write("file", data, N_PAGES * PAGE);
    free(data);
    return 0;
}

static int teardown(void **state) {
    temp_folder_remove();
    return atomic_load(&mem.mapped_bytes) != 0;
}

static void test_open(void **state) {
    struct ut_file_map map;
    utter_error err;
    assert_int_equal(ut_file_map_open(&mem, temp_path("file"), &map, &err), UTTER_OK);
    assert_int_equal(map.n, N_PAGES * PAGE);
    assert_int_equal(map.data[map.n - 1], 'x');
    assert_int_equal(atomic_load(&mem.mapped_bytes), N_PAGES * PAGE);
    assert_true(ut_file_map_intact(&map));
    assert_true(fcntl(map.fd, F_GETFD) & FD_CLOEXEC);
    assert_true(ut_file_map_contains(&map, map.data));
    assert_true(ut_file_map_contains(&map, map.data + map.n - 1));
    assert_false(ut_file_map_contains(&map, map.data + map.n));
    assert_false(ut_file_map_contains(&map, map.data - 1));
    ut_file_map_close(&map);
    assert_int_equal(atomic_load(&mem.mapped_bytes), 0);
    ut_file_map_close(&map);
}

static void test_open_refusals(void **state) {
    temp_write("empty", "", 0);
    assert_int_equal(mkfifo(temp_path("pipe"), 0600), 0);
    struct {
        const char *path;
        utter_status status;
        const char *message;
    } cases[] = {
        {temp_path("missing"), UTTER_ERROR_NOT_FOUND, "missing: there is no such file"},
        {temp_path("file/below"), UTTER_ERROR_NOT_FOUND, "there is no such file"},
        {temp_path("."), UTTER_ERROR_ARGUMENT, "is a folder; name the model file in it"},
        {temp_path("empty"), UTTER_ERROR_FORMAT, "is empty"},
        {temp_path("pipe"), UTTER_ERROR_ARGUMENT, "is no regular file"}, /* and no waiting for a writer */
        {"/dev/null", UTTER_ERROR_ARGUMENT, "is no regular file"},
        {"", UTTER_ERROR_NOT_FOUND, "there is no such file"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ut_file_map map;
        utter_error err;
        assert_int_equal(ut_file_map_open(&mem, cases[i].path, &map, &err), cases[i].status);
        assert_non_null(strstr(err.message, cases[i].message));
        assert_null(map.mem);
    }
}

/* The mapping as one sees it before and after: byte 0 of every page. */
static void test_truncation(void **state) {
    struct ut_file_map map, other;
    restore_sigbus_handler();
    assert_int_equal(ut_file_map_open(&mem, temp_path("file"), &map, NULL), UTTER_OK);
    temp_write("other", "unharmed", 8);
    assert_int_equal(ut_file_map_open(&mem, temp_path("other"), &other, NULL), UTTER_OK);
    for (int page = 0; page < N_PAGES; page++) {
        assert_int_equal(((volatile const uint8_t *)map.data)[page * PAGE], 'x');
    }
    assert_int_equal(truncate(temp_path("file"), PAGE), 0);
    errno = 77;
    for (int page = 1; page < N_PAGES; page++) {
        assert_int_equal(((volatile const uint8_t *)map.data)[page * PAGE + 17], 0);
    }
    assert_int_equal(errno, 77);
    assert_int_equal(map.data[0], 'x');
    assert_false(ut_file_map_intact(&map));
    assert_true(ut_file_map_intact(&other));
    ut_file_map_close(&map);
    ut_file_map_close(&other);

    /* The slot of the damaged mapping is taken again: the damage must not be inherited. */
    assert_int_equal(ut_file_map_open(&mem, temp_path("other"), &other, NULL), UTTER_OK);
    assert_true(ut_file_map_intact(&other));
    ut_file_map_close(&other);
}

/* Changes that raise no signal show by size and time. */
static void test_changes_without_signal(void **state) {
    for (int i = 0; i < 3; i++) {
        struct ut_file_map map;
        temp_write("small", "0123456789", 10);
        assert_int_equal(ut_file_map_open(&mem, temp_path("small"), &map, NULL), UTTER_OK);
        assert_true(ut_file_map_intact(&map));
        if (i == 0) {
            assert_int_equal(truncate(temp_path("small"), 5), 0); /* within a page */
            assert_int_equal(((volatile const uint8_t *)map.data)[7], 0);
        } else if (i == 1) {
            assert_int_equal(truncate(temp_path("small"), 11), 0);
        } else {
            struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
            assert_int_equal(utimensat(AT_FDCWD, temp_path("small"), times, 0), 0);
        }
        assert_false(ut_file_map_intact(&map));
        ut_file_map_close(&map);
    }
}

/* Page faults it takes to read a byte of every page. */
static long faults_of_reading(const struct ut_file_map *map) {
    struct rusage before, after;
    assert_int_equal(getrusage(RUSAGE_SELF, &before), 0);
    for (int page = 0; page < N_PAGES; page++) {
        assert_int_equal(((volatile const uint8_t *)map->data)[page * PAGE + 3], 'x');
    }
    assert_int_equal(getrusage(RUSAGE_SELF, &after), 0);
    return after.ru_minflt + after.ru_majflt - before.ru_minflt - before.ru_majflt;
}

static void test_release(void **state) {
    struct ut_file_map map;
    assert_int_equal(ut_file_map_open(&mem, temp_path("file"), &map, NULL), UTTER_OK);
    faults_of_reading(&map);
    assert_int_equal(faults_of_reading(&map), 0);
    ut_file_map_release(&map, map.data + 5, 10);       /* no whole page */
    ut_file_map_release(&map, map.data + map.n, PAGE); /* not ours */
    ut_file_map_release(&(struct ut_file_map){0}, map.data, PAGE);
    assert_int_equal(faults_of_reading(&map), 0);
    ut_file_map_release(&map, map.data + 1, map.n - 1);
    assert_true(faults_of_reading(&map) > 0);
    assert_true(ut_file_map_intact(&map));
    ut_file_map_close(&map);
}

/* More mappings than the table has: refused, and each of those before works. */
static void test_table_full(void **state) {
    enum { N = 1100 };
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max < 2048 ? limit.rlim_max : 2048;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    struct ut_file_map *maps = test_alloc(N * sizeof *maps);
    utter_error err = {0};
    utter_status status = UTTER_OK;
    int n = 0;
    while (n < N && !(status = ut_file_map_open(&mem, temp_path("file"), &maps[n], &err))) {
        n++;
    }
    assert_in_range(n, 50, N - 1);
    /* Where the system allows too few files, that is what is met first. */
    assert_true(status == UTTER_ERROR_MEMORY || status == UTTER_ERROR_IO);
    const char *message = status == UTTER_ERROR_MEMORY ? "files are mapped already" : "Too many open files";
    assert_non_null(strstr(err.message, message));
    while (n-- > 0) {
        assert_int_equal(maps[n].data[0], 'x');
        ut_file_map_close(&maps[n]);
    }
    free(maps);
    assert_int_equal(ut_file_map_open(&mem, temp_path("file"), maps = test_alloc(sizeof *maps), NULL), UTTER_OK);
    ut_file_map_close(maps);
    free(maps);
}

/* ---- Below a folder -------------------------------------------------------------------------- */

static const struct {
    const char *path;
    bool ok;
} beneath_cases[] = {
    {"file", true}, {"sub/file", true}, {"sub/sub2/file", true}, {"..data", true}, {"a b\\c", true},
    {"", false}, {"/file", false}, {"../file", false}, {"sub/../file", false}, {"sub/../../file", false},
    {"..", false}, {".", false}, {"./file", false}, {"sub/./file", false}, {"sub//file", false},
    {"file/", false}, {"/", false}, {"//file", false}, {"missing", false}, {"sub/missing", false},
    {"link", false}, {"linked/file", false}, {"linked_out/file", false}, {"sub", false}, {"pipe", false},
    {"hard", false}, {"empty", false}, {"file/x", false},
};

static int create_tree(void) {
    temp_write("outside", "secret", 6);
    mkdir(temp_path("root"), 0700);
    mkdir(temp_path("root/sub"), 0700);
    mkdir(temp_path("root/sub/sub2"), 0700);
    static const char *const files[] = {"root/file", "root/sub/file", "root/sub/sub2/file", "root/..data",
                                        "root/a b\\c", "root/twice"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        temp_write(files[i], "inside", 6);
    }
    temp_write("root/empty", "", 0);
    assert_int_equal(symlink("file", temp_path("root/link")), 0);
    assert_int_equal(symlink("sub", temp_path("root/linked")), 0);
    assert_int_equal(symlink("..", temp_path("root/linked_out")), 0);
    assert_int_equal(link(temp_path("root/twice"), temp_path("root/hard")), 0);
    assert_int_equal(mkfifo(temp_path("root/pipe"), 0600), 0);
    int folder = open(temp_path("root"), O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_true(folder >= 0);
    return folder;
}

static void test_open_beneath(void **state) {
    int folder = create_tree();
    for (size_t i = 0; i < sizeof beneath_cases / sizeof *beneath_cases; i++) {
        struct ut_file_map map;
        utter_error err = {0};
        utter_status status = ut_file_map_open_beneath(&mem, folder, beneath_cases[i].path, &map, &err);
        if ((status == UTTER_OK) != beneath_cases[i].ok) {
            fail_msg("%s: %s", beneath_cases[i].path, err.message);
        }
        if (status == UTTER_OK) {
            assert_memory_equal(map.data, "inside", 6);
        } else {
            assert_non_null(strstr(err.message, beneath_cases[i].path));
        }
        ut_file_map_close(&map);
    }
    char long_path[5000];
    memset(long_path, 'a', sizeof long_path);
    long_path[sizeof long_path - 1] = '\0';
    struct ut_file_map map;
    assert_int_not_equal(ut_file_map_open_beneath(&mem, folder, long_path, &map, NULL), UTTER_OK);
    assert_int_equal(ut_open_beneath_walk(folder, long_path), -1);
    assert_int_equal(errno, ENAMETOOLONG);
    close(folder);
}

/* The way without openat2: nothing that leaves the folder or follows a link, and no descriptor lost. */
static void test_open_beneath_walk(void **state) {
    int folder = create_tree();
    int lowest = dup(folder);
    close(lowest);
    for (size_t i = 0; i < sizeof beneath_cases / sizeof *beneath_cases; i++) {
        const char *path = beneath_cases[i].path;
        bool judged_later = strcmp(path, "sub") == 0 || strcmp(path, "pipe") == 0 ||
                            strcmp(path, "hard") == 0 || strcmp(path, "empty") == 0;
        int fd = ut_open_beneath_walk(folder, path);
        if (!judged_later && (fd >= 0) != beneath_cases[i].ok) {
            fail_msg("%s: %s", path, fd >= 0 ? "opened" : strerror(errno));
        }
        if (fd >= 0) {
            close(fd);
        }
    }
    int after = dup(folder);
    assert_int_equal(after, lowest);
    close(after);
    close(folder);
}

/* ---- Whose signal ---------------------------------------------------------------------------- */

static sigjmp_buf after_fault;
static volatile sig_atomic_t n_foreign;

static void on_foreign_sigbus(int number, siginfo_t *info, void *context) {
    n_foreign++;
    siglongjmp(after_fault, 1);
}

/* The first in this process that maps, and so installs the handler: a fault outside our mappings must reach the
 * program's own handler, one inside must not. */
static void test_foreign_fault(void **state) {
    struct sigaction action = {.sa_sigaction = on_foreign_sigbus, .sa_flags = SA_SIGINFO};
    assert_int_equal(sigaction(SIGBUS, &action, NULL), 0);
    struct ut_file_map map;
    assert_int_equal(ut_file_map_open(&mem, temp_path("file"), &map, NULL), UTTER_OK);
    remember_sigbus_handler();
    temp_write("foreign", "0123456789", 10);
    int fd = open(temp_path("foreign"), O_RDWR | O_CLOEXEC);
    volatile uint8_t *foreign = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
    assert_true((void *)foreign != MAP_FAILED);
    assert_int_equal(truncate(temp_path("foreign"), 0), 0);
    assert_int_equal(truncate(temp_path("file"), 0), 0);
    if (sigsetjmp(after_fault, 1) == 0) {
        assert_int_equal(((volatile const uint8_t *)map.data)[PAGE], 0); /* ours: goes on */
        uint8_t byte = foreign[0];                                       /* theirs: jumps */
        fail_msg("read %d from a page that does not exist", byte);
    }
    assert_int_equal(n_foreign, 1);
    if (sigsetjmp(after_fault, 1) == 0) {
        raise(SIGBUS);
    }
    assert_int_equal(n_foreign, 2);
    munmap((void *)foreign, PAGE);
    close(fd);
    ut_file_map_close(&map);
}

/* ---- Actions that were there before, each in a process of its own ----------------------------- */

static void on_plain_sigbus(int number) {
    siglongjmp(after_fault, 1);
}

/* Maps a file, so that the library takes the signal over from `action`, and sends or causes one that is
 * not the library's. Returns only where the process survives that. */
static void meet_foreign_sigbus(void (*action)(int), bool is_fault) {
    struct ut_file_map map;
    signal(SIGBUS, action);
    if (ut_file_map_open(&mem, temp_path("file"), &map, NULL)) {
        _exit(2);
    }
    int fd = open(temp_path("empty"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    volatile uint8_t *foreign = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
    if (sigsetjmp(after_fault, 1) == 0) {
        if (is_fault) {
            _exit(foreign[0] + 3); /* nothing can be read there */
        }
        raise(SIGBUS);
    }
}

static void test_previous_actions(void **state) {
    static const struct {
        void (*action)(int);
        bool is_fault, dies;
    } cases[] = {
        {SIG_DFL, true, true}, {SIG_DFL, false, true}, {SIG_IGN, true, true}, {SIG_IGN, false, false},
        {on_plain_sigbus, true, false}, {on_plain_sigbus, false, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
            meet_foreign_sigbus(cases[i].action, cases[i].is_fault);
            _exit(0);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        bool died = WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS;
        if (died != cases[i].dies || (!died && (!WIFEXITED(status) || WEXITSTATUS(status) != 0))) {
            fail_msg("case %zu: status 0x%X", i, (unsigned)status);
        }
    }
}

/* ---- Threads ---------------------------------------------------------------------------------- */

static void *map_and_lose(void *argument) {
    const char *name = argument;
    for (int i = 0; i < 200; i++) {
        struct ut_file_map map;
        int fd = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (fd < 0 || ftruncate(fd, 4 * PAGE) || ut_file_map_open(&mem, name, &map, NULL)) {
            return "cannot be opened";
        }
        bool loses = i % 2;
        if (loses && ftruncate(fd, PAGE)) {
            return "cannot be cut";
        }
        close(fd);
        uint8_t sum = 0;
        for (int page = 0; page < 4; page++) {
            sum |= ((volatile const uint8_t *)map.data)[page * PAGE];
        }
        bool intact = ut_file_map_intact(&map);
        ut_file_map_close(&map);
        if (sum != 0 || intact == loses) {
            return "damage was not seen, or seen where there is none";
        }
    }
    return NULL;
}

static void test_threads(void **state) {
    enum { N_THREADS = 4 };
    static char names[N_THREADS][4200];
    pthread_t threads[N_THREADS];
    restore_sigbus_handler();
    for (int i = 0; i < N_THREADS; i++) {
        char name[16];
        snprintf(name, sizeof name, "thread%d", i);
        snprintf(names[i], sizeof names[i], "%s", temp_path(name));
        assert_int_equal(pthread_create(&threads[i], NULL, map_and_lose, names[i]), 0);
    }
    for (int i = 0; i < N_THREADS; i++) {
        void *message;
        assert_int_equal(pthread_join(threads[i], &message), 0);
        if (message) {
            fail_msg("%s: %s", names[i], (const char *)message);
        }
    }
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_previous_actions, setup, teardown), /* before any mapping */
        cmocka_unit_test_setup_teardown(test_foreign_fault, setup, teardown),
        cmocka_unit_test_setup_teardown(test_open, setup, teardown),
        cmocka_unit_test_setup_teardown(test_open_refusals, setup, teardown),
        cmocka_unit_test_setup_teardown(test_truncation, setup, teardown),
        cmocka_unit_test_setup_teardown(test_changes_without_signal, setup, teardown),
        cmocka_unit_test_setup_teardown(test_release, setup, teardown),
        cmocka_unit_test_setup_teardown(test_table_full, setup, teardown),
        cmocka_unit_test_setup_teardown(test_open_beneath, setup, teardown),
        cmocka_unit_test_setup_teardown(test_open_beneath_walk, setup, teardown),
        cmocka_unit_test_setup_teardown(test_threads, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
