/* Plots as inline SVG: horizontal bars and points. Colours come from the page's style sheet by
 * class, so that they follow a light or dark screen and paper. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

enum {
    WIDTH = 860,
    LABEL_WIDTH = 250, /* 40 characters of 13 pixels, nearly */
    VALUE_WIDTH = 130,
    ROW = 26,
    BAR = 16,
    AXIS = 26,
    POINTS_HEIGHT = 300
};

/* A step of 1, 2 or 5 times a power of ten that cuts `range` in four to ten. */
static double step_of(double range) {
    double power = pow(10, floor(log10(range / 4)));
    double share = range / 4 / power;
    return power * (share >= 5 ? 5 : share >= 2 ? 2 : 1);
}

/* The view box scales with the page; sizes inside are in its own units. */
static void begin(FILE *out, const char *title, int height) {
    fprintf(out, "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"", WIDTH, height);
    bench_html_text(out, title);
    fprintf(out, "\">\n");
}

/* Text from anywhere: it is escaped. */
static void text_at(FILE *out, double x, double y, const char *anchor, const char *class,
                    const char *text) {
    fprintf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" class=\"%s\">", x, y, anchor,
            class);
    bench_html_text(out, text);
    fprintf(out, "</text>\n");
}

static void line(FILE *out, const char *class, double x1, double y1, double x2, double y2) {
    fprintf(out, "<line class=\"%s\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n", class,
            x1, y1, x2, y2);
}

/* Lines and numbers from 0 to `most`, which lies at x1. */
static void vertical_grid(FILE *out, double most, double x0, double x1, double y0, double y1) {
    double step = step_of(most);
    for (double at = 0; at <= most * 1.0001; at += step) {
        double x = x0 + (x1 - x0) * at / most;
        char number[32];
        snprintf(number, sizeof number, "%.4g", at < step / 2 ? 0 : at);
        line(out, "grid", x, y0, x, y1);
        text_at(out, x, y1 + 16, "middle", "tick", number);
    }
}

static double largest(double a, double b) {
    return a > b ? a : b;
}

static void put_bar(FILE *out, const struct bench_bar *bar, double scale, double middle) {
    double x0 = LABEL_WIDTH, low = x0 + bar->low * scale, high = x0 + bar->high * scale;
    fprintf(out, "<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%d\"/>\n",
            bar->is_base ? "bar base" : "bar", x0, middle - BAR / 2.0,
            largest(bar->value * scale, 0.5), BAR);
    if (high > low) {
        line(out, "whisker", low, middle, high, middle);
        line(out, "whisker", low, middle - 4, low, middle + 4);
        line(out, "whisker", high, middle - 4, high, middle + 4);
    }
    if (bar->mark >= 0) {
        double x = x0 + bar->mark * scale;
        line(out, "bound", x, middle - BAR / 2.0 - 4, x, middle + BAR / 2.0 + 4);
    }
}

/* What reaches farthest to the right of a bar. */
static double end_of(const struct bench_bar *bar) {
    return largest(bar->value, largest(bar->high, bar->mark));
}

/* Texts come last, so that no line crosses them. */
void bench_svg_bars(FILE *out, const char *title, const struct bench_bar *bars, size_t n,
                    double line_at) {
    double most = line_at > 0 ? line_at : 0;
    for (size_t i = 0; i < n; i++) {
        most = largest(most, end_of(&bars[i]));
    }
    most = most > 0 ? most : 1;
    double bottom = (double)n * ROW + 6, scale = (WIDTH - LABEL_WIDTH - VALUE_WIDTH) / most;
    begin(out, title, (int)bottom + AXIS);
    vertical_grid(out, most, LABEL_WIDTH, WIDTH - VALUE_WIDTH, 0, bottom);
    for (size_t i = 0; i < n; i++) {
        put_bar(out, &bars[i], scale, ((double)i + 0.5) * ROW + 3);
    }
    if (line_at > 0) {
        line(out, "one", LABEL_WIDTH + line_at * scale, 0, LABEL_WIDTH + line_at * scale, bottom);
    }
    for (size_t i = 0; i < n; i++) {
        double base_line = ((double)i + 0.5) * ROW + 7.5;
        text_at(out, LABEL_WIDTH - 8, base_line, "end", "label", bars[i].label);
        text_at(out, LABEL_WIDTH + end_of(&bars[i]) * scale + 7, base_line, "start", "value",
                bars[i].text);
    }
    fprintf(out, "</svg>\n");
}

/* ---- Points -----------------------------------------------------------------------------------
 */

enum { LEFT = 60, RIGHT = WIDTH - 240, TOP = 12, BELOW = 44, LABEL_STEP = 15 };

struct plane {
    double most_x, most_y;
    double bottom;
};

/* A point and where it lies in the plot; y grows downwards. */
struct place {
    const struct bench_point *point;
    double x, y;
};

static int lower_first(const void *a, const void *b) {
    const struct place *p = a, *q = b;
    return (p->y < q->y) - (p->y > q->y);
}

/* Labels stand in a column to the right, each at its point's height or above the one below it. The
 * plot is high enough for all of them, and what would leave it at the top moves down again. */
static void put_points(FILE *out, const struct plane *plane, const struct bench_point *points,
                       size_t n) {
    struct place places[BENCH_MAX_CELLS];
    double label_y[BENCH_MAX_CELLS];
    for (size_t i = 0; i < n; i++) {
        places[i].point = &points[i];
        places[i].x = LEFT + (RIGHT - LEFT) * points[i].x / plane->most_x;
        places[i].y = plane->bottom - (plane->bottom - TOP) * points[i].y / plane->most_y;
    }
    qsort(places, n, sizeof *places, lower_first);
    for (size_t i = 0; i < n; i++) {
        double above = i > 0 ? label_y[i - 1] - LABEL_STEP : plane->bottom;
        label_y[i] = above < places[i].y ? above : places[i].y;
    }
    for (size_t i = n; i-- > 0;) {
        double below = i + 1 < n ? label_y[i + 1] + LABEL_STEP : TOP;
        label_y[i] = largest(label_y[i], below);
    }
    for (size_t i = 0; i < n; i++) {
        const struct place *p = &places[i];
        line(out, "leader", p->x, p->y, RIGHT + 12, label_y[i]);
        fprintf(out, "<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"6\"/>\n",
                p->point->is_base ? "bar base" : "bar", p->x, p->y);
        text_at(out, RIGHT + 16, label_y[i] + 4.5, "start", "label", p->point->label);
    }
}

static void horizontal_grid(FILE *out, const struct plane *plane) {
    double step = step_of(plane->most_y);
    for (double at = 0; at <= plane->most_y; at += step) {
        double y = plane->bottom - (plane->bottom - TOP) * at / plane->most_y;
        char number[32];
        snprintf(number, sizeof number, "%.4g", at < step / 2 ? 0 : at);
        line(out, "grid", LEFT, y, RIGHT, y);
        text_at(out, LEFT - 8, y + 4.5, "end", "tick", number);
    }
}

/* A tenth of room beyond the largest value. */
void bench_svg_points(FILE *out, const char *title, const char *x_name, const char *y_name,
                      const struct bench_point *points, size_t n) {
    struct plane plane = {.bottom = largest(POINTS_HEIGHT - BELOW, TOP + (double)n * LABEL_STEP)};
    for (size_t i = 0; i < n; i++) {
        plane.most_x = largest(plane.most_x, points[i].x);
        plane.most_y = largest(plane.most_y, points[i].y);
    }
    plane.most_x = plane.most_x > 0 ? 1.1 * plane.most_x : 1;
    plane.most_y = plane.most_y > 0 ? 1.1 * plane.most_y : 1;
    begin(out, title, (int)plane.bottom + BELOW);
    vertical_grid(out, plane.most_x, LEFT, RIGHT, TOP, plane.bottom);
    horizontal_grid(out, &plane);
    put_points(out, &plane, points, n);
    text_at(out, (LEFT + RIGHT) / 2.0, plane.bottom + 36, "middle", "tick", x_name);
    fprintf(
        out,
        "<text class=\"tick\" text-anchor=\"middle\" transform=\"translate(14 %.0f) rotate(-90)\">",
        (TOP + plane.bottom) / 2);
    bench_html_text(out, y_name);
    fprintf(out, "</text>\n</svg>\n");
}
