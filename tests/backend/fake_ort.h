/* A stand-in for ONNX Runtime's shared library: it offers the entries that utter uses, "runs" a
 * made-up model and misbehaves on request. A test opens it through utter by its path and, by dlopen
 * of the same path, sets what `fake_ort` holds. It counts its objects, so that a test sees what was
 * not released. */
#ifndef UT_TESTS_FAKE_ORT_H
#define UT_TESTS_FAKE_ORT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FAKE_MAX_PORTS = 6, FAKE_MAX_VALUES = 4096, FAKE_MAX_DIMS = 4 };

struct fake_port {
    const char *name;
    int element; /* enum ort_element; 0: no tensor */
    size_t n_dims;
    int64_t dims[8]; /* -1: any; fixed ones are checked in a run */
};

struct fake_ort {
    const char *version;   /* "1.31.1" */
    uint32_t newest_table; /* of get_api; a newer one is refused */
    uint32_t asked_newest; /* the newest that was asked for */
    const char *providers[3];
    int n_providers;

    struct fake_port inputs[FAKE_MAX_PORTS], outputs[FAKE_MAX_PORTS];
    size_t n_inputs, n_outputs;

    /* Output 0: n_samples of `level`, rising by `step`; output 1, if there is one: durations. */
    size_t n_samples;
    double level, step;
    size_t n_durations;
    int64_t durations[64];
    bool no_output; /* run succeeds with nothing in it */
    bool output_no_tensor;
    bool wait; /* run ends when it is told to terminate */

    size_t fail_at; /* the n-th call that can fail does, from 1; 0: none */
    int fail_code;  /* ORT's */
    size_t n_calls;
    _Atomic size_t n_alive; /* objects that were not released */
    _Atomic bool running;
    _Atomic bool terminated;

    /* What the last session and run were given. */
    int n_threads, log_severity;
    bool cuda, coreml, spinning_off;
    char path[4096]; /* of the model */
    size_t n_given;
    struct {
        const char *name; /* of `inputs` */
        int element;
        size_t n_dims, n;
        int64_t dims[FAKE_MAX_DIMS];
        double values[FAKE_MAX_VALUES];
    } given[FAKE_MAX_PORTS];
};

/* Behaves well: version 1.31.1, the providers CPU and CUDA, a Piper voice of one speaker that gives
 * 4000 samples of 0.25. Objects that are alive stay counted. The library does it for itself when
 * nobody has. */
void fake_ort_reset(struct fake_ort *fake);
/* The ports of a Piper voice; of a Kokoro export with durations. */
void fake_ort_piper(struct fake_ort *fake, bool speakers);
void fake_ort_kokoro(struct fake_ort *fake);

#endif
