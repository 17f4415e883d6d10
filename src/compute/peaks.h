/* What the machine can do: the bounds that stages of a model are held against. */
#ifndef UT_COMPUTE_PEAKS_H
#define UT_COMPUTE_PEAKS_H

#include "compute/compute.h"

struct ut_peaks {
    double macs_per_s[UT_TALLY_N_KINDS]; /* of all threads together; 0: no such arithmetic at this level */
    double read_bytes_per_s;             /* from memory; 0: the level has no loop for it */
};

/* Some tenths of a second. False when there is no memory for what is read. */
bool ut_peaks_measure(const struct ut_compute *compute, struct ut_mem *mem, struct ut_peaks *out);

#endif
