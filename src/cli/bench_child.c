/* A child of this program: started with posix_spawn, which is safe beside the thread that waits for
 * signals; both its outputs are read together, so that neither pipe fills. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "interrupt.h"

/* LOOK_MS between two looks for a signal; a child that says more than MAX_ANSWER_BYTES is ended. */
enum { MAX_ARGUMENTS = 64, LOOK_MS = 100, MAX_ANSWER_BYTES = 16 << 20 };

extern char **environ;

/* One of the child's outputs, with a NUL behind once anything was read. */
struct buffer {
    int fd; /* -1: at its end */
    char *bytes;
    size_t n, capacity;
};

/* False: no memory, or more than a child could have to say. */
static bool read_some(struct buffer *buffer) {
    if (buffer->n + 4096 > buffer->capacity) {
        size_t capacity = 2 * buffer->capacity + 8192;
        char *bytes = capacity <= MAX_ANSWER_BYTES ? realloc(buffer->bytes, capacity) : NULL;
        if (!bytes) {
            return false;
        }
        buffer->bytes = bytes;
        buffer->capacity = capacity;
    }
    ssize_t n = read(buffer->fd, buffer->bytes + buffer->n, buffer->capacity - buffer->n - 1);
    if (n < 0 && errno == EINTR) {
        return true;
    }
    buffer->n += n > 0 ? (size_t)n : 0;
    buffer->bytes[buffer->n] = '\0';
    if (n <= 0) {
        close(buffer->fd);
        buffer->fd = -1;
    }
    return true;
}

/* Until both are at their end. False: no memory, or a signal came. */
static bool read_both(struct buffer *out, struct buffer *errors) {
    while (out->fd >= 0 || errors->fd >= 0) {
        struct pollfd both[] = {{out->fd, POLLIN, 0}, {errors->fd, POLLIN, 0}};
        int n = poll(both, 2, LOOK_MS);
        if (interrupt_signal() != 0 || (n < 0 && errno != EINTR)) {
            return false;
        }
        if (n > 0 &&
            ((both[0].revents && !read_some(out)) || (both[1].revents && !read_some(errors)))) {
            return false;
        }
    }
    return true;
}

/* Signals that this process has blocked for its waiting thread come to the child again. */
static int spawn(pid_t *pid, const char *const *arguments, const int out[2], const int errors[2]) {
    char path[PATH_MAX] = "";
    const char *argv[MAX_ARGUMENTS + 2] = {"utter"};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none;
    for (size_t i = 0; i < MAX_ARGUMENTS && arguments[i]; i++) {
        argv[i + 1] = arguments[i];
    }
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    sigemptyset(&none);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, out[1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&files, errors[1], STDERR_FILENO);
    int problem =
        posix_spawnp(pid, n > 0 ? path : argv[0], &files, &attributes, (char **)argv, environ);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
    return problem;
}

/* What a child that failed said last, without "utter: error: ". */
static void take_reason(const struct buffer *errors, int ended, char *reason) {
    const char *last = errors->n ? errors->bytes : "";
    static const char mark[] = "utter: error: ";
    for (const char *at = last; (at = strstr(at, mark)) != NULL;) {
        last = at += sizeof mark - 1;
    }
    size_t n = strcspn(last, "\n");
    if (WIFSIGNALED(ended)) {
        snprintf(reason, BENCH_REASON_SIZE, "ended by signal %d (%s)", WTERMSIG(ended),
                 strsignal(WTERMSIG(ended)));
    } else if (n > 0) {
        snprintf(reason, BENCH_REASON_SIZE, "%.*s", (int)n, last);
    } else {
        snprintf(reason, BENCH_REASON_SIZE, "exit code %d without a message", WEXITSTATUS(ended));
    }
}

/* An answer counts only with a good exit code. */
static json_t *take_answer(const struct buffer *out, const struct buffer *errors, int ended,
                           char *reason) {
    json_error_t problem;
    if (!WIFEXITED(ended) || WEXITSTATUS(ended) != EXIT_OK) {
        take_reason(errors, ended, reason);
        return NULL;
    }
    json_t *answer = json_loads(out->n ? out->bytes : "", 0, &problem);
    if (!answer) {
        snprintf(reason, BENCH_REASON_SIZE, "its answer cannot be read: %s", problem.text);
    }
    return answer;
}

static void close_pipe(int pipe_ends[2]) {
    for (int i = 0; i < 2; i++) {
        if (pipe_ends[i] >= 0) {
            close(pipe_ends[i]);
        }
    }
}

/* Both pipes are close-on-exec: the child keeps only the ends that it was given as its outputs. */
static json_t *run_child(const char *const *arguments, char *reason) {
    int out_pipe[2] = {-1, -1}, error_pipe[2] = {-1, -1}, ended = 0;
    pid_t pid;
    json_t *answer = NULL;
    reason[0] = '\0';
    if (pipe2(out_pipe, O_CLOEXEC) != 0 || pipe2(error_pipe, O_CLOEXEC) != 0) {
        snprintf(reason, BENCH_REASON_SIZE, "no pipe to a child: %s", strerror(errno));
        close_pipe(out_pipe);
        return NULL;
    }
    int problem = spawn(&pid, arguments, out_pipe, error_pipe);
    close(out_pipe[1]);
    close(error_pipe[1]);
    struct buffer out = {.fd = out_pipe[0]}, errors = {.fd = error_pipe[0]};
    if (problem != 0) {
        snprintf(reason, BENCH_REASON_SIZE, "no child: %s", strerror(problem));
    } else {
        bool whole = read_both(&out, &errors);
        if (!whole) {
            kill(pid, SIGKILL);
        }
        while (waitpid(pid, &ended, 0) < 0 && errno == EINTR) {
        }
        if (whole) {
            answer = take_answer(&out, &errors, ended, reason);
        } else if (interrupt_signal() == 0) {
            snprintf(reason, BENCH_REASON_SIZE, "its answer is too long, or there is no memory");
        }
    }
    int left[2] = {out.fd, errors.fd};
    close_pipe(left);
    free(out.bytes);
    free(errors.bytes);
    return answer;
}

json_t *bench_child(const char *const *arguments, char *reason) {
    json_t *answer = run_child(arguments, reason);
    bench_clean(reason);
    return answer;
}
