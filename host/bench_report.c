#include "host/bench_report.h"

#include "host/json_util.h"
#include "host/plan_report.h"
#include "host/text_table.h"
#include "host/units.h"

#include <stdarg.h>

static void pair(wh_text_table *t, const char *name, const char *format, ...) WEFT_PRINTF(3, 4);
static void pair(wh_text_table *t, const char *name, const char *format, ...) {
    char text[512];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    wh_text_table_cell(t, "%s", name);
    wh_text_table_cell(t, "%s", text);
}

static void figures(wh_text_table *t, const wh_bench_result *r) {
    const weft_bench *b = &r->bench;
    char tokens[32], clients[32];
    pair(t, "device", "%s (%s), %s, %d thread%s", r->info.backend, r->info.backend_note,
         r->info.hidden_dtype, r->info.threads, r->info.threads == 1 ? "" : "s");
    pair(t, "chosen by", "%s", r->info.device_reason);
    pair(t, "ceilings", "%.3f TFLOP/s, %.1f GB/s, measured now", 1e-12 * b->ceilings.flops,
         1e-9 * b->ceilings.bytes);
    pair(t, "round", "%d clients, %d at once: %.0f steps of %.1f clients and %.1f tokens",
         r->clients, r->info.slots, b->steps, b->client_steps / b->steps, b->tokens / b->steps);
    pair(t, "step", "%.3f ms median, %.3f ms 95th percentile", 1e3 * b->step_median,
         1e3 * b->step_p95);
    pair(t, "rate", "%s valid tokens/s, %s client steps/s",
         wh_units_count(tokens, sizeof tokens, b->tokens_per_second),
         wh_units_count(clients, sizeof clients, b->client_steps_per_second));
    pair(t, "achieved", "%.3f TFLOP/s, %.1f %% of the ceiling", 1e-12 * b->flops_per_second,
         100 * b->flops_share);
    pair(t, "frozen-MFU", "%.1f %% (%.3f TFLOP/s that the job needs)", 100 * b->frozen_mfu,
         1e-12 * b->model_flops_per_second);
    if (b->launches_per_step > 0) pair(t, "launches", "%.1f a step", b->launches_per_step);
    pair(t, "waiting", "%.1f %% of the device's time", 100 * b->waiting_share);
    pair(t, "train loss", "%.4f", b->loss);
}

static void phases(wh_text *to, const weft_bench *b) {
    static const char *const HEAD[] = {"phase", "ms/step",  "share",   "TFLOP/s",
                                       "GB/s",  "floor ms", "reached", "launches"};
    wh_text_table t;
    wh_text_table_init(&t, "lrrrrrrr");
    for (size_t i = 0; i < sizeof HEAD / sizeof *HEAD; i++) wh_text_table_cell(&t, "%s", HEAD[i]);
    for (int32_t i = 0; i < b->n_phases; i++) {
        const weft_bench_phase *p = &b->phase[i];
        wh_text_table_cell(&t, "%s", p->name);
        wh_text_table_cell(&t, "%.3f", 1e3 * p->seconds);
        wh_text_table_cell(&t, "%.1f %%", 100 * p->share);
        wh_text_table_cell(&t, "%.3f", 1e-12 * p->flops_per_second);
        wh_text_table_cell(&t, "%.1f", 1e-9 * p->bytes_per_second);
        wh_text_table_cell(&t, "%.3f", 1e3 * p->floor_seconds);
        wh_text_table_cell(&t, "%.1f %%", 100 * p->floor_share);
        wh_text_table_cell(&t, "%.1f", p->launches);
    }
    wh_text_addf(to, "\nphases, passes issued piece by piece\n");
    wh_text_table_add(to, &t, "  ");
    wh_text_table_fini(&t);
}

void wh_bench_text(wh_text *to, const wh_bench_result *r) {
    wh_text_table t;
    char held[32];
    wh_text_addf(to, "%s\n", r->model);
    wh_text_table_init(&t, "ll");
    figures(&t, r);
    wh_text_table_add(to, &t, "  ");
    wh_text_table_fini(&t);
    wh_text_addf(to, "\n");
    wh_plan_memory_text(to, &r->plan);
    wh_text_addf(to, "  held on the device: %s\n",
                 wh_units_memory(held, sizeof held, (double)r->bench.device_bytes));
    phases(to, &r->bench);
}

/* ---- JSON ---- */

static json_t *with_real(json_t *object, const char *key, double value) {
    return wh_json_with(object, key, wh_json_real(value));
}

static json_t *with_whole(json_t *object, const char *key, double value) {
    return wh_json_with(object, key, json_integer((json_int_t)value));
}

static json_t *phase_json(const weft_bench_phase *p) {
    json_t *o = wh_json_with(json_object(), "name", json_string(p->name));
    o = with_real(o, "seconds", p->seconds);
    o = with_real(o, "share", p->share);
    o = with_real(o, "flops", p->flops);
    o = with_real(o, "bytes", p->bytes);
    o = with_real(o, "flops_per_s", p->flops_per_second);
    o = with_real(o, "bytes_per_s", p->bytes_per_second);
    o = with_real(o, "floor_seconds", p->floor_seconds);
    o = with_real(o, "floor_share", p->floor_share);
    return with_real(o, "launches", p->launches);
}

static json_t *phases_json(const weft_bench *b) {
    json_t *list = json_array();
    for (int32_t i = 0; i < b->n_phases; i++) {
        if (json_array_append_new(list, phase_json(&b->phase[i])) == 0) continue;
        json_decref(list);
        return NULL;
    }
    return list;
}

json_t *wh_bench_json(const wh_bench_result *r) {
    const weft_bench *b = &r->bench;
    json_t *o = wh_json_with(json_object(), "weft_version", json_string(WEFT_VERSION));
    o = wh_json_with(o, "model", json_string(r->model));
    o = wh_json_with(o, "architecture", json_string(r->info.architecture));
    o = wh_json_with(o, "backend", json_string(r->info.backend));
    o = wh_json_with(o, "backend_note", json_string(r->info.backend_note));
    o = wh_json_with(o, "dtype", json_string(r->info.hidden_dtype));
    o = wh_json_with(o, "device_reason", json_string(r->info.device_reason));
    o = with_whole(o, "threads", r->info.threads);
    o = with_whole(o, "clients", r->clients);
    o = with_whole(o, "slots", r->info.slots);
    o = with_whole(o, "pack_tokens", (double)r->info.pack_tokens);
    o = with_whole(o, "steps", b->steps);
    o = with_whole(o, "client_steps", b->client_steps);
    o = with_whole(o, "tokens", b->tokens);
    o = with_whole(o, "packs", (double)b->packs);
    o = with_real(o, "seconds", b->seconds);
    o = with_real(o, "step_seconds_median", b->step_median);
    o = with_real(o, "step_seconds_p95", b->step_p95);
    o = with_real(o, "tokens_per_s", b->tokens_per_second);
    o = with_real(o, "client_steps_per_s", b->client_steps_per_second);
    o = with_real(o, "flops", r->plan.profile.total.flops);
    o = with_real(o, "flops_per_s", b->flops_per_second);
    o = with_real(o, "flops_share", b->flops_share);
    o = with_real(o, "model_flops", r->plan.model_flops);
    o = with_real(o, "model_flops_per_s", b->model_flops_per_second);
    o = with_real(o, "frozen_mfu", b->frozen_mfu);
    o = with_real(o, "ceiling_flops_per_s", b->ceilings.flops);
    o = with_real(o, "ceiling_bytes_per_s", b->ceilings.bytes);
    o = with_real(o, "waiting_share", b->waiting_share);
    o = with_real(o, "launches_per_step", b->launches_per_step);
    o = with_real(o, "loss", b->loss);
    o = with_whole(o, "device_bytes", (double)b->device_bytes);
    o = wh_json_with(o, "memory_bytes", wh_plan_memory_json(&r->plan));
    o = with_whole(o, "memory_bytes_total", (double)r->plan.bytes_total);
    return wh_json_with(o, "phases", phases_json(b));
}
