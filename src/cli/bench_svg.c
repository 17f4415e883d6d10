/* Plots as inline SVG: horizontal bars and points. Colours come from the page's style sheet by
 * class, so that they follow a light or dark screen and paper. */
#include <math.h>
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

static void begin(FILE *out, const char *title, int height) {
    fprintf(out, "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"", WIDTH, height);
    bench_html_text(out, title);
    fprintf(out, "\">\n");
}

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

enum { LEFT = 60, RIGHT = WIDTH - 240, TOP = 12, BOTTOM = POINTS_HEIGHT - 44, LABEL_STEP = 15 };

/* Where the label of point i goes: at its height, or below those that are too near. */
static double label_y(const double *taken, size_t n, double y) {
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < n; k++) {
            if (fabs(taken[k] - y) < LABEL_STEP) {
                y = taken[k] + LABEL_STEP;
            }
        }
    }
    return y;
}

struct place {
    double x, y, label_y;
};

/* Where points and their labels go; returns the lowest label. */
static double place_points(const struct bench_point *points, size_t n, double most_x, double most_y,
                           struct place *places) {
    double taken[BENCH_MAX_CELLS], lowest = 0;
    for (size_t i = 0; i < n; i++) {
        places[i].x = LEFT + (RIGHT - LEFT) * points[i].x / most_x;
        places[i].y = BOTTOM - (BOTTOM - TOP) * points[i].y / most_y;
        places[i].label_y = taken[i] = label_y(taken, i, places[i].y);
        lowest = largest(lowest, taken[i]);
    }
    return lowest;
}

static void put_points(FILE *out, const struct bench_point *points, const struct place *places,
                       size_t n) {
    for (size_t i = 0; i < n; i++) {
        const struct place *p = &places[i];
        line(out, "leader", p->x, p->y, RIGHT + 12, p->label_y);
        fprintf(out, "<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"6\"/>\n",
                points[i].is_base ? "bar base" : "bar", p->x, p->y);
        text_at(out, RIGHT + 16, p->label_y + 4.5, "start", "label", points[i].label);
    }
}

static void horizontal_grid(FILE *out, double most) {
    double step = step_of(most);
    for (double at = 0; at <= most; at += step) {
        double y = BOTTOM - (BOTTOM - TOP) * at / most;
        char number[32];
        snprintf(number, sizeof number, "%.4g", at < step / 2 ? 0 : at);
        line(out, "grid", LEFT, y, RIGHT, y);
        text_at(out, LEFT - 8, y + 4.5, "end", "tick", number);
    }
}

void bench_svg_points(FILE *out, const char *title, const char *x_name, const char *y_name,
                      const struct bench_point *points, size_t n) {
    struct place places[BENCH_MAX_CELLS];
    double most_x = 0, most_y = 0;
    for (size_t i = 0; i < n; i++) {
        most_x = largest(most_x, points[i].x);
        most_y = largest(most_y, points[i].y);
    }
    most_x = most_x > 0 ? 1.1 * most_x : 1;
    most_y = most_y > 0 ? 1.1 * most_y : 1;
    /* Labels that were pushed down may need more room than the plot. */
    double lowest = place_points(points, n, most_x, most_y, places);
    begin(out, title, (int)largest(POINTS_HEIGHT, lowest + LABEL_STEP));
    vertical_grid(out, most_x, LEFT, RIGHT, TOP, BOTTOM);
    horizontal_grid(out, most_y);
    put_points(out, points, places, n);
    text_at(out, (LEFT + RIGHT) / 2.0, BOTTOM + 36, "middle", "tick", x_name);
    fprintf(
        out,
        "<text class=\"tick\" text-anchor=\"middle\" transform=\"translate(14 %d) rotate(-90)\">",
        (TOP + BOTTOM) / 2);
    bench_html_text(out, y_name);
    fprintf(out, "</text>\n</svg>\n");
}
