/* The helper gives the library's figures. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "support/quality_check.h"
#include "support/random_values.h"

enum { N = 3000 };

static void distance_of_a_gain(void **state) {
    float ref[N], test[N];
    random_normal("noise", 4, 0, 0.1f, ref, N);
    for (int i = 0; i < N; i++) {
        test[i] = 0.5f * ref[i];
    }
    assert_true(fabs(quality_lsd_db(ref, test, N, 22050) - 6.0206) < 0.001);
    assert_true(quality_lsd_db(ref, ref, N, 22050) < 1e-9);
    utter_quality q = quality_of(ref, N, test, N - 100, 22050);
    assert_true(fabs(q.snr_db - 6.0206) < 0.001 && isnan(q.voicing_differs));
    assert_true(q.n_left_over == 100);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(distance_of_a_gain)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
