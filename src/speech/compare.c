/* utter_compare for callers of any version. */
#include "audio/quality.h"
#include "speech/speech.h"

void utter_compare_options_init(utter_compare_options *options) {
    *options = (utter_compare_options){.size = sizeof *options};
}

/* `out` is read first for its size alone: a wrong one is told before the work is done. No engine is
 * needed, so memory comes from the options' allocator. */
utter_status utter_compare(const utter_sound *reference, const utter_sound *test,
                           const utter_compare_options *options, utter_quality *out,
                           utter_error *err) {
    utter_compare_options known;
    utter_quality own;
    struct ut_mem mem;
    size_t size = sizeof size;
    if (!reference || !test || !out) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT, "reference, test and out must not be NULL");
    }
    utter_compare_options_init(&known);
    utter_status status =
        ut_options_read(&known, sizeof known, options, "utter_compare_options", err);
    if (status == UTTER_OK) {
        status = ut_options_read(&size, sizeof size, out, "utter_quality", err);
    }
    if (status != UTTER_OK) {
        return status;
    }
    ut_mem_init(&mem, known.allocator);
    status = ut_quality_compare(&mem, reference, test, &known, &own, err);
    if (status == UTTER_OK) {
        ut_options_write(out, &own, sizeof own);
    }
    return status;
}
