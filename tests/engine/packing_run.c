#include "tests/engine/packing_run.h"

#include "engine/weft.h"
#include "tests/engine/golden_source.h"
#include "tests/golden/bert.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLIENTS PACKING_CLIENTS
#define ROUNDS  PACKING_ROUNDS
#define ROWS    140

#define OK(expr) golden_must((expr), &err, #expr)

packing_outcome packing_run(const packing_setup *setup) {
    weft_error err = {0};
    golden_file g;
    if (!golden_load(WEFT_TEST_DIR "/golden", &golden_bert, &g)) exit(1);
    weft_rows rows = golden_ragged_rows(ROWS, 22, 0);
    weft_config *config = golden_config(&golden_bert);
    const char *const options[] = {"run.device",
                                   setup->device,
                                   "run.threads",
                                   setup->threads,
                                   "engine.slots",
                                   setup->slots,
                                   "engine.pack_tokens",
                                   setup->pack_tokens,
                                   "run.seed",
                                   "7",
                                   "lora.dropout",
                                   "0.1",
                                   "partition.kind",
                                   "dirichlet",
                                   "partition.alpha",
                                   "0.7",
                                   "fl.num_clients",
                                   "17",
                                   "fl.clients_per_round",
                                   "17",
                                   "client.batch_size",
                                   "5",
                                   "client.local_epochs",
                                   "2",
                                   "client.learning_rate",
                                   "5e-3",
                                   "client.max_grad_norm",
                                   "1",
                                   "fl.strategy",
                                   "fedyogi"};
    for (size_t i = 0; i < sizeof options / sizeof *options; i += 2)
        OK(weft_config_set(config, options[i], options[i + 1], NULL, &err));
    golden_set_options(config, setup->more, setup->n_more); /* the last word */
    weft_partition *part = NULL;
    OK(weft_partition_build(&part, config, &rows, &err));
    weft_engine_options o = WEFT_ENGINE_OPTIONS_INIT;
    o.config = config, o.model = golden_source(&g), o.train = &rows, o.test = &rows,
    o.partition = part, o.backend = setup->backend, o.comm = setup->comm;
    weft_engine *e = NULL;
    OK(weft_engine_open(&e, &o, &err));
    packing_outcome out = {0};
    weft_engine_info info;
    weft_engine_info_get(e, &info);
    out.size = info.adapter_size;
    (void)snprintf(out.sums, sizeof out.sums, "%s", info.sums);
    out.adapter = calloc((size_t)out.size, sizeof *out.adapter);
    for (int round = -setup->rounds_before; round < ROUNDS; round++) {
        weft_round_report r;
        OK(weft_engine_round(e, &r, &err));
        if (round < 0) continue;
        for (int i = 0; i < CLIENTS; i++) {
            out.loss[round][i] = r.clients[i].loss;
            out.last[round][i] = r.clients[i].last_loss;
            out.norm[round][i] = r.clients[i].update_norm;
        }
        out.wire_down = r.wire_total.down, out.wire_up = r.wire_total.up;
        out.packs += r.packs;
        out.n_checks[round] = r.n_checks;
        if (r.n_checks == 0) continue;
        out.estimate[round] = r.checks[r.n_checks - 1].estimate;
        out.variance[round] = r.checks[r.n_checks - 1].variance;
        out.theta[round] = r.theta_next;
    }
    weft_eval_options eval = {.split = WEFT_SPLIT_TEST};
    weft_metrics metrics;
    OK(weft_engine_eval(e, &eval, &metrics, &err));
    out.eval_loss = metrics.loss, out.accuracy = metrics.accuracy;
    OK(weft_engine_adapter_read(e, out.adapter, &err));
    weft_engine_close(e);
    weft_partition_free(part);
    weft_config_free(config);
    golden_rows_free(&rows);
    golden_free(&g);
    return out;
}

bool packing_same(const char *what, const packing_outcome *a, const packing_outcome *b) {
    for (int r = 0; r < ROUNDS; r++)
        for (int i = 0; i < CLIENTS; i++)
            if (a->loss[r][i] != b->loss[r][i] || a->last[r][i] != b->last[r][i] ||
                a->norm[r][i] != b->norm[r][i]) {
                (void)fprintf(stderr,
                              "%s: round %d client %d: loss %.17g and %.17g, update norm %.17g and "
                              "%.17g\n",
                              what, r + 1, i, a->loss[r][i], b->loss[r][i], a->norm[r][i],
                              b->norm[r][i]);
                return false;
            }
    bool same = memcmp(a->n_checks, b->n_checks, sizeof a->n_checks) == 0 &&
                memcmp(a->estimate, b->estimate, sizeof a->estimate) == 0 &&
                memcmp(a->variance, b->variance, sizeof a->variance) == 0 &&
                memcmp(a->theta, b->theta, sizeof a->theta) == 0;
    same = same && a->size == b->size && a->eval_loss == b->eval_loss &&
           a->accuracy == b->accuracy && a->wire_down == b->wire_down && a->wire_up == b->wire_up;
    for (int64_t i = 0; same && i < a->size; i++)
        same = memcmp(&a->adapter[i], &b->adapter[i], sizeof *a->adapter) == 0;
    if (!same) (void)fprintf(stderr, "%s: adapters, checks, scores or ledgers differ\n", what);
    return same;
}
