/* Elapsed time. */
#ifndef UT_BASE_CLOCK_H
#define UT_BASE_CLOCK_H

#include <time.h>

/* Seconds of the monotonic clock, from an arbitrary start. */
static inline double ut_clock_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Processor seconds of all threads of this process. */
static inline double ut_cpu_clock_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

#endif
