/* Which layers minimal filtering pays for on this machine, measured, and the file that keeps it:
 *
 *     {"version": 1, "cpu": "avx512",
 *      "layers": [{"in": 128, "out": 128, "taps": 7, "scheme": "F(4,7)"},
 *                 {"in": 16, "out": 16, "taps": 3, "scheme": "direct"}]}
 *
 * A table holds for the processor level it was measured at. */
#ifndef UT_COMPUTE_TUNING_H
#define UT_COMPUTE_TUNING_H

#include "compute/minimal.h"

struct ut_tuning_result {
    struct ut_minimal_rule rule;
    double direct_s, best_s; /* of the same work plainly, and as the rule says */
};
typedef void (*ut_tuning_fn)(void *user, const struct ut_tuning_result *result);

/* Times the layers of the models at hand on the calling thread's pool, a few seconds in all. Of schemes
 * that are as fast within a few percent the one whose weights grow least is taken. `tell` may be NULL. */
UTTER_CHECKED utter_status ut_tuning_measure(const struct ut_compute *compute, struct ut_mem *mem,
                                             struct ut_minimal_table *out, ut_tuning_fn tell,
                                             void *user, utter_error *err);

/* From the text of such a file, which nobody has checked. ERROR_FORMAT says what is wrong and leaves `out`
 * empty; ERROR_UNSUPPORTED when it is of another processor level than `cpu`. */
UTTER_CHECKED utter_status ut_tuning_parse(struct ut_mem *mem, const char *text, size_t n,
                                           const char *cpu, struct ut_minimal_table *out,
                                           utter_error *err);

/* The text of the file; free with ut_mem_free. */
UTTER_CHECKED utter_status ut_tuning_format(struct ut_mem *mem, const char *cpu,
                                            const struct ut_minimal_table *table, char **text,
                                            utter_error *err);

#endif
