/* Threads that the library starts for itself. */
#ifndef UT_BASE_THREAD_H
#define UT_BASE_THREAD_H

#include <pthread.h>
#include <stdbool.h>

/* Starts run(arg) with all signals blocked, for they belong to the program's own threads; all but SIGBUS, by
 * which the thread that reads a truncated model file notices it. False when the system has no more threads. */
bool ut_thread_start(pthread_t *thread, void *(*run)(void *arg), void *arg);

#endif
