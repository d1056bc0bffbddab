#include "host/chart.h"

#include "host/html.h"
#include "tests/check.h"
#include "tests/host/comma_locale.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static weft_error err;

static int count(const char *text, const char *part) {
    int n = 0;
    for (; (text = strstr(text, part)) != NULL; text += strlen(part)) n++;
    return n;
}

/* ---- scales ---- */

static void check_scale(double lo, double hi, wh_unit unit) {
    for (int max = 2; max <= 8; max++) {
        wh_scale s = wh_scale_make(lo, hi, unit, max);
        assert_true(s.lo < s.hi && s.step > 0 && isfinite(s.step));
        if (isfinite(lo) && isfinite(hi) && lo <= hi) assert_true(s.lo <= lo && s.hi >= hi);
        double mantissa = s.step / s.divisor / pow(10.0, floor(log10(s.step / s.divisor) + 1e-9));
        assert_true(fabs(mantissa - 1) < 1e-6 || fabs(mantissa - 2) < 1e-6 ||
                    fabs(mantissa - 5) < 1e-6);
        int ticks = 0;
        char last[32] = "", label[32];
        for (double v = wh_scale_first(&s); v <= s.hi + 1e-9 * s.step; v += s.step, ticks++) {
            assert_true(v >= s.lo - 1e-9 * s.step);
            wh_scale_label(label, sizeof label, &s, v);
            assert_string_not_equal(label, last); /* enough decimals to tell ticks apart */
            memcpy(last, label, sizeof last);
        }
        assert_in_range(ticks, 1, max + 1);
    }
}

static void test_scales(void **state) {
    (void)state;
    static const double RANGE[][2] = {{0, 1},         {0.1234, 0.1299}, {-3, 7},     {5, 5},
                                      {0, 0},         {-2, -2},         {1, 2},      {0, 1e12},
                                      {1e-4, 2.5e-4}, {99.2, 101},      {1, 100000}, {0.2, 12345}};
    for (size_t i = 0; i < sizeof RANGE / sizeof *RANGE; i++)
        for (int unit = WH_UNIT_PLAIN; unit <= WH_UNIT_REAL; unit++)
            if (unit != WH_UNIT_WHOLE || RANGE[i][1] - RANGE[i][0] >= 1)
                check_scale(RANGE[i][0], RANGE[i][1], (wh_unit)unit);
    check_scale((double)NAN, (double)NAN, WH_UNIT_PLAIN);
    check_scale((double)-INFINITY, (double)INFINITY, WH_UNIT_BYTES);
    check_scale(2, 1, WH_UNIT_WHOLE);
}

static void check_label(double hi, wh_unit unit, double value, const char *want,
                        const char *want_unit) {
    char label[32];
    wh_scale s = wh_scale_make(0, hi, unit, 6);
    assert_string_equal(wh_scale_label(label, sizeof label, &s, value), want);
    assert_string_equal(s.unit, want_unit);
}

static void test_labels(void **state) {
    (void)state;
    check_label(1, WH_UNIT_PLAIN, 0.6000000000000001, "0.6", "");
    check_label(1, WH_UNIT_PLAIN, 0.0, "0", "");
    check_label(12, WH_UNIT_WHOLE, 4, "4", "");
    check_label(90000, WH_UNIT_WHOLE, 20000, "20,000", "");
    check_label(164e6, WH_UNIT_BYTES, 50e6, "50", "MB");
    check_label(999, WH_UNIT_BYTES, 200, "200", "B");
    check_label(2.5e6, WH_UNIT_COUNT, 5e5, "0.5", "million");
    check_label(5000, WH_UNIT_COUNT, 2000, "2,000", "");
    check_label(200, WH_UNIT_SECONDS, 50, "50", "s");
    check_label(1800, WH_UNIT_SECONDS, 600, "10", "min");
    check_label(36000, WH_UNIT_SECONDS, 7200, "2", "h");
    check_label(3, WH_UNIT_REAL, 2, "2", "");
    check_label(0.06, WH_UNIT_REAL, 0.02, "0.02", "");
    check_label(0.0012, WH_UNIT_REAL, 0.0004, "0.0004", "");
    check_label(2.5e-4, WH_UNIT_REAL, 1e-4, "0.1", "×10⁻³");
    check_label(3e7, WH_UNIT_REAL, 1e7, "10", "×10⁶");
}

static void test_numbers(void **state) {
    (void)state;
    static const struct {
        double value;
        int decimals;
        const char *want;
    } CASE[] = {
        {1.0, 2, "1"},
        {1.5, 2, "1.5"},
        {-1.5, 2, "-1.5"},
        {-0.05, 2, "-0.05"},
        {-0.001, 2, "0"},
        {0.125, 3, "0.125"},
        {100, 0, "100"},
        {99.999, 2, "100"},
        {1e14, 6, "100000000000000"},
        {(double)NAN, 2, "-"},
        {1e300, 2, "-"},
        {DBL_MIN, 6, "0"},
        {0.6000000001, 4, "0.6"},
    };
    char text[32];
    for (size_t i = 0; i < sizeof CASE / sizeof *CASE; i++)
        assert_string_equal(wh_html_number(text, sizeof text, CASE[i].value, CASE[i].decimals),
                            CASE[i].want);
}

static void test_numbers_in_another_locale(void **state) {
    if (!comma_locale_enter()) check_skip("no locale with a decimal comma can be made");
    test_numbers(state);
    (void)setlocale(LC_ALL, "C");
}

/* ---- text ---- */

static void check_text(const char *in, int max, const char *want) {
    wh_text t = {0};
    wh_html_text_cut(&t, in, max);
    check_ok(wh_text_check(&t, "text", &err), &err);
    assert_string_equal(t.data ? t.data : "", want);
    wh_text_free(&t);
}

static void test_text_is_escaped(void **state) {
    (void)state;
    check_text("<script>alert('x' & \"y\")</script>", 100,
               "&lt;script&gt;alert(&#39;x&#39; &amp; &quot;y&quot;)&lt;/script&gt;");
    check_text("a\x01\x1b[2Jb\x7f\tc\nd", 100, "a\xef\xbf\xbd\xef\xbf\xbd[2Jb\xef\xbf\xbd\tc\nd");
    check_text("bad \xff\xc3 utf", 100, "bad \xef\xbf\xbd\xef\xbf\xbd utf");
    check_text("größer", 100, "größer");
    check_text("größer", 4, "grö…");
    check_text("größer", 6, "größer");
    check_text("&&&&", 3, "&amp;&amp;…"); /* cut by characters, not inside an entity */
    check_text("", 5, "");
}

/* ---- curves ---- */

static wh_curve curve[WH_CHART_LINES];

static wh_chart two_lines(int n) {
    wh_chart chart = {.title = "Loss <1>", .n_lines = 2};
    for (int k = 0; k < 2; k++) {
        wh_curve_init(&curve[k], 1);
        for (int i = 1; i <= n; i++) {
            wh_point p = {.round = i,
                          .bytes = 1e6 * i,
                          .seconds = 2.0 * i,
                          .steps = 9.0 * i,
                          .y = (double)k / i};
            wh_curve_add(&curve[k], p);
        }
        chart.line[k] = (wh_chart_line){k ? "b & c" : "a", &curve[k], k};
    }
    return chart;
}

static char *drawn(const wh_chart *chart) {
    wh_text t = {0};
    wh_chart_add(&t, chart);
    check_ok(wh_text_check(&t, "chart", &err), &err);
    assert_null(strstr(t.data, "nan"));
    assert_null(strstr(t.data, "inf"));
    assert_int_equal(count(t.data, "<svg"), count(t.data, "</svg>"));
    assert_int_equal(count(t.data, "<g "), count(t.data, "</g>"));
    assert_int_equal(count(t.data, "<text"), count(t.data, "</text>"));
    assert_int_equal(count(t.data, "<title>"), count(t.data, "</title>"));
    return wh_text_take(&t);
}

static void test_points_say_their_values(void **state) {
    (void)state;
    wh_chart chart = two_lines(4);
    char *svg = drawn(&chart);
    assert_int_equal(count(svg, "<circle class=\"p\""), 8);
    assert_non_null(strstr(svg, "<title>b &amp; c, round 4: 0.25</title>"));
    assert_non_null(strstr(svg, "Loss &lt;1&gt;"));
    assert_non_null(strstr(svg, ">b &amp; c</text>")); /* at the end of its line */
    free(svg);
    chart.x = WH_X_BYTES;
    svg = drawn(&chart);
    assert_non_null(strstr(svg, "round 3, 3.00 MB: 0.3333</title>"));
    assert_non_null(strstr(svg, "(MB)"));
    free(svg);
    chart.x = WH_X_SECONDS;
    svg = drawn(&chart);
    assert_non_null(strstr(svg, "round 3, 6.00 s: 0.3333</title>"));
    free(svg);
    chart.x = WH_X_STEPS, chart.y_unit = WH_UNIT_REAL;
    svg = drawn(&chart);
    assert_non_null(strstr(svg, "b &amp; c, round 3, 27 local steps: 0.33333334</title>"));
    assert_non_null(strstr(svg, "local steps of a client</text>"));
    free(svg);
}

/* First and last number of a path's data. */
static void test_places(void **state) {
    (void)state;
    wh_chart chart = two_lines(3);
    chart.n_lines = 1;
    for (int i = 1; i <= 3; i++) curve[0].bin[i - 1].low.y = curve[0].bin[i - 1].high.y = i;
    curve[0].last.y = 3;
    char *svg = drawn(&chart);
    const char *path = strstr(svg, " d=\"M");
    assert_non_null(path);
    double x[3], y[3];
    assert_int_equal(
        sscanf(path, " d=\"M%lf %lfL%lf %lfL%lf %lf", &x[0], &y[0], &x[1], &y[1], &x[2], &y[2]), 6);
    assert_true(x[0] < x[1] && x[1] < x[2] && y[0] > y[1] && y[1] > y[2]); /* up is less */
    assert_true(fabs(x[2] - 2 * x[1] + x[0]) < 0.02 && fabs(y[2] - 2 * y[1] + y[0]) < 0.02);
    assert_true(x[0] > 50 && x[2] < 480 && y[2] > 0 && y[0] < 240);
    free(svg);
}

static void test_gaps_and_nothing(void **state) {
    (void)state;
    wh_chart chart = two_lines(5);
    curve[0].bin[2].low.y = curve[0].bin[2].high.y = (double)NAN;
    chart.n_lines = 1;
    char *svg = drawn(&chart);
    const char *path = strstr(svg, "<path class=\"l\" d=\"");
    assert_non_null(path);
    assert_int_equal(count(path, "M"), 2); /* the pen is lifted once */
    free(svg);
    for (int i = 0; i < 5; i++) curve[0].bin[i].low.y = curve[0].bin[i].high.y = (double)NAN;
    svg = drawn(&chart);
    assert_null(strstr(svg, "<svg"));
    assert_non_null(strstr(svg, "Nothing recorded"));
    free(svg);
    chart.n_lines = 0;
    svg = drawn(&chart);
    assert_non_null(strstr(svg, "Nothing recorded"));
    free(svg);
}

/* A level far from the curves and a band wider than the line are inside the plot. */
static void test_levels_and_bands_fit(void **state) {
    (void)state;
    wh_chart chart = two_lines(3);
    static wh_curve band;
    wh_curve_init(&band, 2);
    for (int i = 1; i <= 3; i++) {
        wh_curve_add(&band, (wh_point){.round = i, .y = -50});
        wh_curve_add(&band, (wh_point){.round = i, .y = 90});
    }
    chart.band = &band;
    chart.level[chart.n_levels++] = (wh_chart_level){"probe <x>", 123.0};
    char *svg = drawn(&chart);
    const char *path = strstr(svg, "<path class=\"band c0\" d=\"M");
    assert_non_null(path);
    double x, y;
    path += strlen("<path class=\"band c0\" d=\"M");
    assert_int_equal(sscanf(path, "%lf %lf", &x, &y), 2);
    assert_true(y > 12 && y < 230);
    assert_int_equal(count(svg, "class=\"ref\""), 1);
    assert_non_null(strstr(svg, ">probe &lt;x&gt;</text>"));
    free(svg);
}

static void test_many_and_long(void **state) {
    (void)state;
    wh_chart chart = {.title = "all", .n_lines = WH_CHART_LINES};
    for (int k = 0; k < WH_CHART_LINES; k++) {
        wh_curve_init(&curve[k], 1);
        for (int i = 1; i <= 5000; i++)
            wh_curve_add(&curve[k], (wh_point){.round = i, .y = i % 7 + k});
        chart.line[k] = (wh_chart_line){"run", &curve[k], k};
    }
    char *svg = drawn(&chart);
    assert_true(strlen(svg) < 1400000);
    assert_int_equal(count(svg, ">run</text>"), 0); /* too many for labels at their ends */
    assert_non_null(strstr(svg, "Of every 16 values"));
    free(svg);
}

/* Names that would be cut stand in the legend alone. */
static void test_long_names(void **state) {
    (void)state;
    wh_chart chart = two_lines(3);
    chart.line[0].name = "exactly twenty chars";
    char *svg = drawn(&chart);
    assert_int_equal(count(svg, ">exactly twenty chars</text>"), 1);
    free(svg);
    chart.line[0].name = "exactly twenty chars!";
    svg = drawn(&chart);
    assert_int_equal(count(svg, "…</text>") + count(svg, "chars!</text>"), 0);
    assert_int_equal(count(svg, ">b &amp; c</text>"), 0);
    free(svg);
    wh_text legend = {0};
    wh_chart_add_legend(&legend, &chart.line[0]);
    assert_non_null(strstr(legend.data, "</svg>exactly twenty chars!</li>"));
    wh_text_free(&legend);
}

/* ---- clients ---- */

static void test_clients(void **state) {
    (void)state;
    static const int64_t LABELS[2][2] = {{30, 10}, {0, 5}};
    static const wh_client_column CLIENT[2] = {
        {.client = 7, .rows = 40, .label_rows = LABELS[0], .visits = 1},
        {.client = 3, .rows = 5, .label_rows = LABELS[1]}};
    static const char *const NAME[] = {"<i>", "b"};
    wh_client_chart chart = {.n_clients = 2,
                             .n_labels = 2,
                             .client = CLIENT,
                             .label = NAME,
                             .has_visits = true,
                             .order = "by rows"};
    wh_text t = {0};
    wh_chart_add_clients(&t, &chart);
    check_ok(wh_text_check(&t, "chart", &err), &err);
    assert_int_equal(count(t.data, "<rect class=\"bar c0\""), 2);
    assert_int_equal(count(t.data, "<rect class=\"bar c2\""), 1); /* one was never trained */
    assert_int_equal(count(t.data, "</title></rect>"), 2 + 3 + 1);
    assert_non_null(
        strstr(t.data, "fill-opacity=\"0.75\"><title>client 7, 40 rows: &lt;i&gt; 30, 75 %"));
    assert_non_null(strstr(t.data, "fill-opacity=\"1\"><title>client 3, 5 rows: b 5, 100 %"));
    assert_null(strstr(t.data, "<i>"));
    wh_text_clear(&t);
    chart.n_labels = 0;
    chart.has_visits = false;
    wh_chart_add_clients(&t, &chart);
    assert_null(strstr(t.data, "class=\"cell\""));
    wh_text_free(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scales),
        cmocka_unit_test(test_labels),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test_setup_teardown(test_numbers_in_another_locale, temp_setup, temp_teardown),
        cmocka_unit_test(test_text_is_escaped),
        cmocka_unit_test(test_points_say_their_values),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_gaps_and_nothing),
        cmocka_unit_test(test_levels_and_bands_fit),
        cmocka_unit_test(test_many_and_long),
        cmocka_unit_test(test_long_names),
        cmocka_unit_test(test_clients),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
