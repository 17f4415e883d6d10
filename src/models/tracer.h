/* `utter trace` for every family: runs the recorded inputs of each case of a golden file and keeps every stage
 * in f32 as the golden files hold it. Nothing but the inputs of a case is read for the run, so a file without
 * the outputs gives the same bytes. A case is what has a tensor CASE.INPUT. */
#ifndef UT_MODELS_TRACER_H
#define UT_MODELS_TRACER_H

#include "compute/compute.h"
#include "weights/weights.h"

struct ut_tracer;

struct ut_tracer_family {
    const char *case_input; /* "ids": the tensor that every case has */
    /* Reads the case's inputs, runs the model and puts each stage it sees with ut_tracer_put. */
    utter_status (*run_case)(struct ut_tracer *tracer, void *family, utter_error *err);
    void *family;
};

UTTER_CHECKED utter_status ut_tracer_run(struct ut_mem *mem, const struct ut_tracer_family *family,
                                         const char *golden, const char *case_name,
                                         const char *out_path, utter_trace_fn stage, void *user,
                                         utter_error *err);

/* ---- For run_case ------------------------------------------------------------------------------- */

const char *ut_tracer_case(const struct ut_tracer *tracer);
struct ut_arena *ut_tracer_arena(struct ut_tracer *tracer);

/* An input of the case; NULL and *n 0 when it is absent, or after an error, which goes into *status. Nothing is
 * done when *status is one already. */
float *ut_tracer_floats(struct ut_tracer *tracer, const char *input, size_t *n, utter_status *status,
                        utter_error *err);
int32_t *ut_tracer_ints(struct ut_tracer *tracer, const char *input, size_t *n, utter_status *status,
                        utter_error *err);

enum ut_trace_order {
    UT_TRACE_CHANNELS_FIRST, /* [n_ch, total] */
    UT_TRACE_TIME_FIRST,     /* [total, n_ch] */
    UT_TRACE_VECTOR,         /* [total]; n_ch is 1 */
    UT_TRACE_TIME_FIRST_MISLABELLED /* rows of time under the shape [n_ch, total] */
};

/* Rows first..first + n_rows - 1 of `total` of a stage, `row` floats apart; a stage may come in several
 * calls. Lack of memory is reported behind the case. */
void ut_tracer_put(struct ut_tracer *tracer, const char *stage, enum ut_trace_order order,
                   const float *data, ptrdiff_t row, int first, int n_rows, int total, int n_ch);

#endif
