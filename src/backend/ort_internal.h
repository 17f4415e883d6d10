/* What ort_library.c and ort_session.c share. */
#ifndef UT_BACKEND_ORT_INTERNAL_H
#define UT_BACKEND_ORT_INTERNAL_H

#include <limits.h>

#include "backend/ort_api.h"
#include "backend/ort_entries.h"

struct ut_ort_library {
    struct ut_mem *mem;
    void *handle; /* of dlopen */
    struct ort_entries entries;
    char **providers; /* ONNX Runtime's */
    int n_providers;
    char version[32];
    char path[PATH_MAX];
};

/* Turns a status into `code`, or into what its own code says more exactly, with its text behind
 * `what`; releases it. NULL is UTTER_OK. */
UTTER_CHECKED utter_status ut_ort_check(const struct ort_entries *ort, struct ort_status *status,
                                        utter_status code, const char *what, utter_error *err);

#endif
