/* A thread of the library leaves signals to the program, but for SIGBUS; its creator's mask stays.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/thread.h"

static void *read_mask(void *arg) {
    pthread_sigmask(SIG_SETMASK, NULL, arg);
    return arg;
}

static void signals_are_left_to_the_program(void **state) {
    sigset_t before, inside, after;
    pthread_t thread;
    void *result;
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    assert_true(ut_thread_start(&thread, read_mask, &inside));
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_ptr_equal(result, &inside);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    static const int blocked[] = {SIGINT, SIGTERM, SIGPIPE, SIGUSR1};
    for (size_t i = 0; i < sizeof blocked / sizeof *blocked; i++) {
        assert_int_equal(sigismember(&inside, blocked[i]), 1);
        assert_int_equal(sigismember(&after, blocked[i]), sigismember(&before, blocked[i]));
    }
    assert_int_equal(sigismember(&inside, SIGBUS), 0);
}

/* The wait ends by itself, after its time and not long before; and the clock is not the one that is
 * set. */
static void a_wait_ends_without_a_signal(void **state) {
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t cond;
    ut_cond_init(&cond);
    pthread_mutex_lock(&lock);
    double start_s = ut_clock_s();
    while (ut_clock_s() - start_s < 0.0019) { /* may come back sooner */
        ut_cond_wait_for(&cond, &lock, 2);
    }
    ut_cond_wait_for(&cond, &lock, 0);
    pthread_mutex_unlock(&lock);
    assert_int_equal(pthread_cond_destroy(&cond), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signals_are_left_to_the_program),
        cmocka_unit_test(a_wait_ends_without_a_signal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
