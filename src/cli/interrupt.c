/* utter_stream_cancel may not be called from a signal handler, so there is none: the signals are
 * blocked in every thread, and one thread of its own waits for them with sigwait. */
#include "interrupt.h"

#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <unistd.h>

/* Signals belong to the process, hence one state for it. */
static struct {
    pthread_mutex_t lock;
    sigset_t signals;
    utter_stream *stream;
    bool held;
    int signal_number;
} watch = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* As if nothing had been caught: the parent sees the signal in the exit status. */
static void end_by(int signal_number) {
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, signal_number);
    signal(signal_number, SIG_DFL);
    pthread_sigmask(SIG_UNBLOCK, &one, NULL);
    raise(signal_number);
}

/* The lock orders this thread and the main one: a stream that is set is not destroyed while it is
 * being cancelled. */
static void *wait_for_signals(void *unused) {
    for (;;) {
        int signal_number;
        if (sigwait(&watch.signals, &signal_number) != 0) {
            continue;
        }
        pthread_mutex_lock(&watch.lock);
        if (watch.signal_number != 0 || !(watch.stream || watch.held)) {
            end_by(signal_number);
        }
        watch.signal_number = signal_number;
        if (watch.stream) {
            utter_stream_cancel(watch.stream);
        }
        pthread_mutex_unlock(&watch.lock);
    }
    return NULL;
}

/* Threads that are made later inherit the blocked signals, hence "before any other thread". */
bool interrupt_start(void) {
    static const int wanted[] = {SIGINT, SIGTERM, SIGHUP};
    sigset_t old;
    sigemptyset(&watch.signals);
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        struct sigaction action;
        /* What nohup or a shell's & made ignored stays ignored. */
        if (sigaction(wanted[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN) {
            sigaddset(&watch.signals, wanted[i]);
        }
    }
    pthread_t thread;
    pthread_sigmask(SIG_BLOCK, &watch.signals, &old);
    if (pthread_create(&thread, NULL, wait_for_signals, NULL) != 0) {
        pthread_sigmask(SIG_SETMASK, &old, NULL);
        return false;
    }
    pthread_detach(thread);
    return true;
}

void interrupt_set_stream(utter_stream *stream) {
    pthread_mutex_lock(&watch.lock);
    watch.stream = stream;
    pthread_mutex_unlock(&watch.lock);
}

void interrupt_hold(bool on) {
    pthread_mutex_lock(&watch.lock);
    watch.held = on;
    pthread_mutex_unlock(&watch.lock);
}

int interrupt_signal(void) {
    pthread_mutex_lock(&watch.lock);
    int signal_number = watch.signal_number;
    pthread_mutex_unlock(&watch.lock);
    return signal_number;
}
