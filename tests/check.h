/* The little that tests need on top of cmocka: tensor comparison with a bound and a readable
 * report. */
#ifndef WEFT_TESTS_CHECK_H
#define WEFT_TESTS_CHECK_H

#include "kernels/status.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

/* Fails with the message when a call did not return WEFT_OK. */
#define check_ok(expr, err) check_ok_at((expr), (err), #expr, __FILE__, __LINE__)
void check_ok_at(weft_status st, const weft_error *err, const char *expr, const char *file,
                 int line);

/* Per-tensor max norm: max|got-want| <= tol * max|want| (+ tiny absolute 1e-30). NaN and Inf must
 * agree in place. Prints name, index, both values and the bound on failure. Returns the measured
 * ratio. */
#define check_close(name, got, want, n, tol)                                                       \
    check_close_at((name), (got), (want), (size_t)(n), (tol), __FILE__, __LINE__)
double check_close_at(const char *name, const float *got, const float *want, size_t n, double tol,
                      const char *file, int line);

/* Same bits; prints the first index that differs. */
#define check_same(name, got, want, bytes)                                                         \
    check_same_at((name), (got), (want), (size_t)(bytes), __FILE__, __LINE__)
void check_same_at(const char *name, const void *got, const void *want, size_t bytes,
                   const char *file, int line);

/* Skips the running test after saying why (cmocka's skip() takes no reason). */
#define check_skip(reason)                                                                         \
    do {                                                                                           \
        print_message("skipped: %s\n", (reason));                                                  \
        skip();                                                                                    \
    } while (0)

/* n floats, normal with standard deviation `scale`, a pure function of (seed, site). */
void check_randn(float *out, size_t n, uint32_t seed, uint32_t site, float scale);

#endif
