#include "host/plan_report.h"

#include "host/json_util.h"
#include "host/text_table.h"
#include "host/units.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

void wh_plan_memory_text(wh_text *to, const weft_plan *plan) {
    wh_text_table t;
    char text[32];
    double total = plan->bytes_total > 0 ? (double)plan->bytes_total : 1.0;
    wh_text_table_init(&t, "lrr");
    for (int32_t i = 0; i < plan->n_items && i < WEFT_PLAN_ITEMS; i++) {
        double bytes = (double)plan->item[i].bytes;
        wh_text_table_cell(&t, "%s", plan->item[i].name);
        wh_text_table_cell(&t, "%s", wh_units_memory(text, sizeof text, bytes));
        wh_text_table_cell(&t, "%.1f %%", 100.0 * bytes / total);
    }
    wh_text_table_cell(&t, "total");
    wh_text_table_cell(&t, "%s", wh_units_memory(text, sizeof text, (double)plan->bytes_total));
    wh_text_table_cell(&t, "%s", "");
    wh_text_addf(to, "memory\n");
    wh_text_table_add(to, &t, "  ");
    wh_text_table_fini(&t);
}

/* One quantity: a round, the run. */
static void work_row(wh_text_table *t, const char *name, double a_round, double rounds,
                     const char *(*unit)(char *, size_t, double), const char *suffix) {
    char text[32];
    wh_text_table_cell(t, "%s", name);
    wh_text_table_cell(t, "%s%s", unit(text, sizeof text, a_round), suffix);
    wh_text_table_cell(t, "%s%s", unit(text, sizeof text, a_round * rounds), suffix);
}

int64_t wh_plan_rounds(const weft_plan *plan, const weft_config *config) {
    const int64_t rounds = weft_config_int(config, "fl.num_rounds");
    const double steps = (double)weft_config_int(config, "fl.total_steps"),
                 a_round = plan->steps / (double)weft_config_int(config, "fl.clients_per_round");
    if (!(steps > 0.0) || !(a_round > 0.0) || steps / a_round > (double)rounds) return rounds;
    return (int64_t)ceil(steps / a_round);
}

void wh_plan_text(wh_text *to, const weft_plan *plan, const weft_config *config) {
    const int64_t rounds = wh_plan_rounds(plan, config),
                  cohort = weft_config_int(config, "fl.clients_per_round");
    const bool by_steps = weft_config_int(config, "fl.total_steps") > 0;
    const char *sync = weft_config_text(config, "fl.sync");
    char a[32], b[32];
    double n = (double)rounds;
    wh_text_addf(to, "model      %s parameters frozen, %s trained and sent (%.2f %%)\n",
                 wh_units_grouped(a, sizeof a, plan->base_parameters),
                 wh_units_grouped(b, sizeof b, plan->adapter_numel),
                 plan->base_parameters > 0
                     ? 100.0 * (double)plan->adapter_numel /
                           (double)(plan->base_parameters + plan->adapter_numel)
                     : 0.0);
    wh_text_addf(to, "device     %s, %s; %s\n", plan->backend, plan->hidden_dtype,
                 plan->device_reason);
    wh_text_addf(to,
                 "schedule   %s%" PRId64 " round%s of %" PRId64
                 " client%s, %d trained at once, packs of %" PRId64 " tokens\n",
                 by_steps ? "about " : "", rounds, rounds == 1 ? "" : "s", cohort,
                 cohort == 1 ? "" : "s", plan->slots, plan->pack_tokens);
    if (strcmp(sync, "fixed") != 0)
        wh_text_addf(
            to, "           fl.sync=%s decides how long a round is; below it has a usual length\n",
            sync);
    wh_text_add(to, "\n");
    wh_plan_memory_text(to, plan);
    wh_text_table t;
    wh_text_table_init(&t, "lrr");
    wh_text_table_cell(&t, "work and traffic");
    wh_text_table_cell(&t, "a round");
    wh_text_table_cell(&t, "the run");
    work_row(&t, "  client steps", plan->steps, n, wh_units_count, "");
    work_row(&t, "  examples", plan->examples, n, wh_units_count, "");
    work_row(&t, "  tokens", plan->tokens, n, wh_units_count, "");
    work_row(&t, "  passes over the base", plan->packs, n, wh_units_count, "");
    work_row(&t, "  FLOPs", plan->flops, n, wh_units_count, "");
    work_row(&t, "  wire, up", plan->wire_up, n, wh_units_wire, "");
    work_row(&t, "  wire, down", plan->wire_down, n, wh_units_wire, "");
    wh_text_addf(to, "\n");
    wh_text_table_add(to, &t, "");
    wh_text_table_fini(&t);
}

json_t *wh_plan_memory_json(const weft_plan *plan) {
    json_t *memory = json_object();
    for (int32_t i = 0; i < plan->n_items && i < WEFT_PLAN_ITEMS; i++) {
        json_t *bytes = json_integer((json_int_t)plan->item[i].bytes);
        if (json_object_set_new(memory, plan->item[i].name, bytes) != 0) {
            json_decref(memory);
            return NULL;
        }
    }
    return memory;
}

json_t *wh_plan_json(const weft_plan *plan, const weft_config *config) {
    const int64_t rounds = wh_plan_rounds(plan, config),
                  cohort = weft_config_int(config, "fl.clients_per_round");
    return json_pack(
        "{s:I, s:I, s:s, s:s, s:I, s:I, s:i, s:I, s:o, s:I, s:{s:o, s:o, s:o, s:o, s:o, s:o, s:o}}",
        "rounds", (json_int_t)rounds, "clients_per_round", (json_int_t)cohort, "backend",
        plan->backend, "dtype", plan->hidden_dtype, "base_parameters",
        (json_int_t)plan->base_parameters, "adapter_parameters", (json_int_t)plan->adapter_numel,
        "slots", plan->slots, "pack_tokens", (json_int_t)plan->pack_tokens, "memory_bytes",
        wh_plan_memory_json(plan), "memory_bytes_total", (json_int_t)plan->bytes_total, "per_round",
        "steps", wh_json_real(plan->steps), "examples", wh_json_real(plan->examples), "tokens",
        wh_json_real(plan->tokens), "packs", wh_json_real(plan->packs), "flops",
        wh_json_real(plan->flops), "bytes_up", wh_json_real(plan->wire_up), "bytes_down",
        wh_json_real(plan->wire_down));
}
