/* Setting up the stand-in of ONNX Runtime; linked to the tests and to the library. */
#include "backend/fake_ort.h"

#include <string.h>

#include "backend/ort_entries.h"

void fake_ort_piper(struct fake_ort *fake, bool speakers) {
    static const struct fake_port inputs[] = {
        {"input", ORT_INT64, 2, {-1, -1}},
        {"input_lengths", ORT_INT64, 1, {-1}},
        {"scales", ORT_FLOAT, 1, {3}},
        {"sid", ORT_INT64, 1, {1}},
    };
    memcpy(fake->inputs, inputs, sizeof inputs);
    fake->n_inputs = speakers ? 4 : 3;
    fake->outputs[0] = (struct fake_port){"output", ORT_FLOAT, 4, {-1, 1, 1, -1}};
    fake->n_outputs = 1;
}

void fake_ort_kokoro(struct fake_ort *fake) {
    static const struct fake_port inputs[] = {
        {"input_ids", ORT_INT64, 2, {1, -1}},
        {"style", ORT_FLOAT, 2, {1, 64}},
        {"speed", ORT_FLOAT, 1, {1}},
    };
    memcpy(fake->inputs, inputs, sizeof inputs);
    fake->n_inputs = 3;
    fake->outputs[0] = (struct fake_port){"waveform", ORT_FLOAT, 1, {-1}};
    fake->outputs[1] = (struct fake_port){"duration", ORT_INT64, 1, {-1}};
    fake->n_outputs = 2;
}

void fake_ort_reset(struct fake_ort *fake) {
    size_t n_alive = fake->n_alive;
    memset(fake, 0, sizeof *fake);
    fake->version = "1.31.1";
    fake->newest_table = 31;
    fake->providers[0] = "CUDAExecutionProvider";
    fake->providers[1] = "CPUExecutionProvider";
    fake->n_providers = 2;
    fake->n_samples = 4000;
    fake->level = 0.25;
    fake->fail_code = 1;
    fake->n_alive = n_alive;
    fake_ort_piper(fake, false);
}
