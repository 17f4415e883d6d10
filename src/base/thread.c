#include "base/thread.h"

#include <signal.h>

bool ut_thread_start(pthread_t *thread, void *(*run)(void *arg), void *arg) {
    sigset_t most, old;
    sigfillset(&most);
    sigdelset(&most, SIGBUS);
    pthread_sigmask(SIG_SETMASK, &most, &old); /* a new thread has its creator's mask */
    bool ok = pthread_create(thread, NULL, run, arg) == 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return ok;
}
