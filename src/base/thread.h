/* Threads that the library starts for itself. */
#ifndef UT_BASE_THREAD_H
#define UT_BASE_THREAD_H

#include <pthread.h>
#include <stdbool.h>

/* Starts run(arg) with all signals blocked, for they belong to the program's own threads; all but SIGBUS, by
 * which the thread that reads a truncated model file notices it. False when the system has no more threads. */
bool ut_thread_start(pthread_t *thread, void *(*run)(void *arg), void *arg);

/* A condition for ut_cond_wait_for: by the clock that nobody sets. Free it with pthread_cond_destroy. */
void ut_cond_init(pthread_cond_t *cond);
/* Waits for a signal, at most `ms`; as with any condition it may come back sooner. */
void ut_cond_wait_for(pthread_cond_t *cond, pthread_mutex_t *lock, int ms);

#endif
