/* Numbers for people. What travels is counted in decimal units (MB = 10^6 bytes), memory in binary
 * ones (GiB = 2^30). Every function writes at most n bytes with the terminating zero and returns
 * `out`. */
#ifndef WEFT_HOST_UNITS_H
#define WEFT_HOST_UNITS_H

#include <stddef.h>
#include <stdint.h>

const char *wh_units_wire(char *out, size_t n, double bytes);      /* "12.4 MB" */
const char *wh_units_memory(char *out, size_t n, double bytes);    /* "1.25 GiB" */
const char *wh_units_count(char *out, size_t n, double count);     /* "8.10 k", "22.7 M" */
const char *wh_units_seconds(char *out, size_t n, double seconds); /* "0.84 s", "2:05", "1:02:03" */
/* Thousands in groups: "22,713,216". */
const char *wh_units_grouped(char *out, size_t n, int64_t count);
/* A metric with four decimals; "-" when it is not a number. */
const char *wh_units_metric(char *out, size_t n, double value);

#endif
