/* Sums of doubles that do not depend on the order of their terms, nor on who adds which: every term
 * becomes two whole numbers, and whole numbers are added exactly (the idea of Demmel and Nguyen
 * 2013, with fixed units, since updates of adapters have a known range).
 *
 *   term = high * 2^-20 + low * 2^-63 + what is below 2^-64
 *
 * Terms must be finite and below 2^31. 2^12 of the largest may be added in 64-bit words, 2^20 of
 * those below 2^23. Units are powers of two, so a product with one is exact, and a compiler may
 * contract it into a sum. */
#ifndef WK_EXACT_SUM_H
#define WK_EXACT_SUM_H

#include "kernels/inline.h"

#include <stdint.h>
#include <string.h>

#define WK_SUM_WORDS 2
#define WK_SUM_HIGH  0x1p20
#define WK_SUM_LOW   0x1p63
#define WK_SUM_LIMIT 0x1p31 /* of a term */

/* The nearest whole number of a value below 2^51, ties to even; in a form that vectorises. */
WK_HD int64_t wk_sum_round(double x) {
    const double shifted = x + 0x1.8p52;
    int64_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    return bits - INT64_C(0x4338000000000000);
}

WK_HD void wk_sum_add(int64_t *high, int64_t *low, double term) {
    const int64_t h = wk_sum_round(term * WK_SUM_HIGH);
    *high += h;
    *low += wk_sum_round((term - (double)h * (1 / WK_SUM_HIGH)) * WK_SUM_LOW);
}

WK_HD double wk_sum_value(int64_t high, int64_t low) {
    return (double)high * (1 / WK_SUM_HIGH) + (double)low * (1 / WK_SUM_LOW);
}

#endif
