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

/* Sizes of the layers of Piper and Kokoro, as rules whose scheme is left out. */
extern const struct ut_minimal_rule ut_tuning_shapes[];
extern const int ut_tuning_n_shapes;

/* Those of a model's file: of every convolution that might gain, each once. How many there are. */
int ut_tuning_find_shapes(const struct ut_weights *weights,
                          struct ut_minimal_rule shapes[UT_MINIMAL_MAX_RULES]);

/* Times layers of these sizes on the calling thread's pool, some tenths of a second each. Of schemes that are as
 * fast within a few percent the one whose weights grow least is taken. It replaces what `table` has for this
 * size; the rest stays, but that a full table loses its oldest rules. `tell` may be NULL. */
UTTER_CHECKED utter_status ut_tuning_measure(const struct ut_compute *compute, struct ut_mem *mem,
                                             const struct ut_minimal_rule *shapes, int n_shapes,
                                             struct ut_minimal_table *table, ut_tuning_fn tell,
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
