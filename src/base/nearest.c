/* Edit distance with swaps of neighbours (optimal string alignment) over three rolling rows: no
 * allocation, so it may be used while an error is being reported. */
#include "base/nearest.h"

#include <string.h>

#include "base/checked.h"

enum { MAX_LENGTH = 63 };

static char lower(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* `before`, `above` and `row` are the distances of the first i - 2, i - 1 and i bytes of a to every
 * beginning of b; they take turns. */
int ut_edit_distance(const char *a, const char *b) {
    int n_a = (int)strnlen(a, MAX_LENGTH), n_b = (int)strnlen(b, MAX_LENGTH);
    int rows[3][MAX_LENGTH + 1];
    int *before = rows[0], *above = rows[1], *row = rows[2];
    for (int j = 0; j <= n_b; j++) {
        above[j] = j;
    }
    for (int i = 1; i <= n_a; i++) {
        row[0] = i;
        for (int j = 1; j <= n_b; j++) {
            char p = lower(a[i - 1]), q = lower(b[j - 1]);
            int best = UT_MIN(above[j], row[j - 1]) + 1;
            best = UT_MIN(best, above[j - 1] + (p != q));
            if (i > 1 && j > 1 && p == lower(b[j - 2]) && q == lower(a[i - 2])) {
                best = UT_MIN(best, before[j - 2] + 1);
            }
            row[j] = best;
        }
        int *free_row = before;
        before = above;
        above = row;
        row = free_row;
    }
    return above[n_b];
}

int32_t ut_nearest(const char *name, const char *(*at)(const void *user, int32_t i),
                   const void *user, int32_t n) {
    int32_t nearest = -1;
    int best = MAX_LENGTH + 1;
    for (int32_t i = 0; i < n; i++) {
        const char *other = at(user, i);
        if (!other) {
            continue;
        }
        int longer = (int)UT_MAX(strnlen(name, MAX_LENGTH), strnlen(other, MAX_LENGTH));
        int distance = ut_edit_distance(name, other);
        if (distance < best && distance <= UT_MAX(longer / 3, 1) && distance < longer) {
            nearest = i;
            best = distance;
        }
    }
    return nearest;
}
