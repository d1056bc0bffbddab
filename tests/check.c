#include "tests/check.h"

#include "kernels/rng.h"

#include <math.h>
#include <string.h>

void check_ok_at(weft_status st, const weft_error *err, const char *expr, const char *file,
                 int line) {
    if (st == WEFT_OK) return;
    print_error("%s:%d: %s: %s: %s\n", file, line, expr, weft_status_str(st), err ? err->text : "");
    fail();
}

double check_close_at(const char *name, const float *got, const float *want, size_t n, double tol,
                      const char *file, int line) {
    double scale = 0, worst = 0;
    size_t at = 0;
    bool bad = false;
    for (size_t i = 0; i < n; i++)
        if (isfinite(want[i])) scale = fmax(scale, fabs((double)want[i]));
    for (size_t i = 0; i < n && !bad; i++) {
        bool same_class = isfinite(want[i]) ? isfinite(got[i])
                                            : (isnan(want[i]) ? isnan(got[i]) : got[i] == want[i]);
        double d = isfinite(want[i]) ? fabs((double)got[i] - (double)want[i]) : 0;
        if (!same_class) bad = true;
        if (!same_class || d > worst) worst = d, at = i;
    }
    if (bad || worst > tol * scale + 1e-30) {
        print_error("%s:%d: %s[%zu]: got %.9g want %.9g, |diff| %.3g > %.3g * %.3g\n", file, line,
                    name, at, (double)got[at], (double)want[at], worst, tol, scale);
        fail();
    }
    return scale > 0 ? worst / scale : worst;
}

void check_same_at(const char *name, const void *got, const void *want, size_t bytes,
                   const char *file, int line) {
    const unsigned char *a = got, *b = want;
    for (size_t i = 0; i < bytes; i++)
        if (a[i] != b[i]) {
            float x, y;
            size_t word = i / 4 * 4;
            memcpy(&x, a + (word + 4 <= bytes ? word : 0), bytes >= 4 ? 4 : 0);
            memcpy(&y, b + (word + 4 <= bytes ? word : 0), bytes >= 4 ? 4 : 0);
            print_error("%s:%d: %s: byte %zu differs (as float: [%zu] %.9g and %.9g)\n", file, line,
                        name, i, word / 4, bytes >= 4 ? (double)x : 0, bytes >= 4 ? (double)y : 0);
            fail();
        }
}

void check_randn(float *out, size_t n, uint32_t seed, uint32_t site, float scale) {
    wk_stream s = wk_stream_at(wk_rng_key(seed, WK_RNG_TEST, site), 0, 0, 0);
    for (size_t i = 0; i < n; i++) {
        double u = 1.0 - wk_stream_f64(&s), v = wk_stream_f64(&s);
        out[i] = (float)(sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v)) * scale;
    }
}
