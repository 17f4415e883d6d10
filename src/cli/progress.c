/* One line on standard error, written over itself. Whether it is shown at all is the caller's
 * choice: on a terminal, or where --progress asks for it. */
#include "progress.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Messages of the library, which any of its threads may send, must find out whether a line is in
 * their way: there is one terminal, so there is one flag. */
static _Atomic bool line_is_shown;

static void format_time(char *out, size_t capacity, double seconds) {
    unsigned long whole = seconds > 0 ? (unsigned long)(seconds + 0.5) : 0;
    if (whole >= 3600) {
        snprintf(out, capacity, "%lu:%02lu:%02lu", whole / 3600, whole / 60 % 60, whole % 60);
    } else {
        snprintf(out, capacity, "%lu:%02lu", whole / 60, whole % 60);
    }
}

void progress_show(void *user, const utter_progress *progress) {
    double share = progress->n_bytes_total == 0
                       ? 1
                       : (double)progress->n_bytes_done / (double)progress->n_bytes_total;
    char audio[24], left[24];
    format_time(audio, sizeof audio, progress->audio_s);
    format_time(left, sizeof left, share > 0 ? progress->elapsed_s * (1 / share - 1) : 0);
    double speed = progress->elapsed_s > 0 ? progress->audio_s / progress->elapsed_s : 0;
    /* The blanks cover what a longer line before left; "\r" without a newline keeps the place. */
    fprintf(stderr, "\r%3.0f %%  %s of sound, %.1f times real time, %s to go    ", 100 * share,
            audio, speed, left);
    line_is_shown = true;
}

/* The words are padded to 60 columns, which covers what a longer line left. */
void progress_show_share(uint64_t n_done, uint64_t n_total, const char *what) {
    double share = n_total == 0 ? 1 : (double)n_done / (double)n_total;
    fprintf(stderr, "\r%3.0f %%  %-60.60s", 100 * share, what);
    line_is_shown = true;
}

void progress_clear_line(void) {
    if (atomic_exchange(&line_is_shown, false)) {
        fprintf(stderr, "\r%70s\r", "");
    }
}
