/* What `weft bench` measured, as tables for people or as JSON (README.md lists its keys). */
#ifndef WEFT_HOST_BENCH_REPORT_H
#define WEFT_HOST_BENCH_REPORT_H

#include "host/text.h"

#include <jansson.h>

typedef struct wh_bench_result {
    const char *model;
    int32_t clients; /* of the round */
    weft_plan plan;
    weft_engine_info info;
    weft_bench bench;
} wh_bench_result;

void wh_bench_text(wh_text *to, const wh_bench_result *r);
/* *Owned*; NULL when memory is out. */
json_t *wh_bench_json(const wh_bench_result *r);

#endif
