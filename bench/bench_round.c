/* Federated rounds of synthetic jobs: tokens and client steps a second, the time of a step by
 * phase, and how much of what the device can do that is.
 *
 *   bench_round [--device auto|cpu|cuda[:N]] [--dtype auto|f32|bf16] [--placement] [--model NAME]
 *               [--only ID[,ID…]] [--steps N] [--pack TOKENS] [--threads N] [--quick] [--json FILE]
 *
 * README.md says what each figure means. Experiments:
 *   e1   clients with batches of 8x128, 32x128 and 16 ragged rows, 1 to 256 of them at once
 *   e7   2,000 clients, 64 at a time, one step a visit: with client.optimizer_state=keep the
 * moments of every client cross the bus in each round, with reset none do e8   one client with a
 * batch that fills a pack
 * --quick keeps a few of them. Losses are printed, so that a rival's can be compared. */
#include "bench/synthetic_job.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_STEPS 10000 /* and WEFT_BENCH_MIN_STEPS at least */

typedef struct options {
    const char *device, *dtype, *model, *only, *json, *pack, *threads;
    int steps;
    bool placement, quick;
} options;

typedef struct job {
    const char *id;
    int clients, batch, length;
    bool ragged, quick; /* quick: stays with --quick */
    int slots, steps;   /* 0: all clients; as the options say */
    const char *state;  /* client.optimizer_state; NULL: reset */
} job;

static const job jobs[] = {
    {"e1-8x128", 1, 8, 128, false, false, 0, 0, NULL},
    {"e1-8x128", 8, 8, 128, false, true, 0, 0, NULL},
    {"e1-8x128", 64, 8, 128, false, true, 0, 0, NULL},
    {"e1-8x128", 256, 8, 128, false, false, 0, 0, NULL},
    {"e1-32x128", 1, 32, 128, false, false, 0, 0, NULL},
    {"e1-32x128", 8, 32, 128, false, false, 0, 0, NULL},
    {"e1-32x128", 64, 32, 128, false, false, 0, 0, NULL},
    {"e1-16xragged", 1, 16, 128, true, false, 0, 0, NULL},
    {"e1-16xragged", 64, 16, 128, true, true, 0, 0, NULL},
    {"e1-16xragged", 256, 16, 128, true, false, 0, 0, NULL},
    {"e7-keep", 2000, 8, 128, false, false, 64, 1, "keep"},
    {"e7-reset", 2000, 8, 128, false, false, 64, 1, "reset"},
    {"e8-pack", 1, 132, 128, false, true, 0, 0, NULL},
};

typedef struct run {
    const options *o;
    const job *job;
    weft_bench bench;
    const char *hidden;
    char backend_text[32], note_text[200];
} run;

static void die(const char *what, const weft_error *err) {
    (void)fprintf(stderr, "bench_round: %s%s%s\n", what, err ? ": " : "", err ? err->text : "");
    exit(1);
}

static void run_job(run *r, synthetic_model *model) {
    const options *o = r->o;
    const job *j = r->job;
    const synthetic_rows shape = {j->clients, j->batch, j->length, j->ragged};
    char clients[16], batch[16], steps[16], slots[16];
    (void)snprintf(clients, sizeof clients, "%d", j->clients);
    (void)snprintf(batch, sizeof batch, "%d", j->batch);
    (void)snprintf(steps, sizeof steps, "%d", j->steps ? j->steps : o->steps);
    (void)snprintf(slots, sizeof slots, "%d", j->slots ? j->slots : j->clients);
    const char *const pairs[][2] = {
        {"run.device", o->device},
        {"run.dtype", o->dtype},
        {"run.threads", o->threads},
        {"run.deterministic", o->placement ? "placement" : "repeat"},
        {"fl.clients_per_round", clients},
        {"engine.slots", slots},
        {"client.optimizer_state", j->state ? j->state : "reset"},
        {"engine.state_pool_mib",
         j->state ? "32768" : "-1"}, /* at most; else records need a file */
        {"engine.pack_tokens", o->pack},
        {"client.batch_size", batch},
        {"client.local_steps", steps},
        {"client.learning_rate", "1e-3"},
        {NULL, NULL},
    };
    weft_error err = {0};
    synthetic_job opened;
    if (!synthetic_job_open(&opened, model, &shape, pairs, &err)) die(j->id, &err);
    weft_engine_info info;
    weft_engine_info_get(opened.engine, &info);
    (void)snprintf(r->backend_text, sizeof r->backend_text, "%s", info.backend);
    (void)snprintf(r->note_text, sizeof r->note_text, "%s", info.backend_note);
    r->hidden = info.hidden_dtype;
    if (weft_engine_bench(opened.engine, &opened.plan, &r->bench, &err) != WEFT_OK)
        die("bench", &err);
    synthetic_job_close(&opened);
}

static void print_phases(const run *r) {
    printf("    %-38s %9s %6s %9s %8s %9s %7s %8s\n", "phase (issued piece by piece)", "ms/step",
           "share", "TFLOP/s", "GB/s", "floor ms", "reached", "launches");
    for (int i = 0; i < r->bench.n_phases; i++) {
        const weft_bench_phase *p = &r->bench.phase[i];
        printf("    %-38s %9.3f %5.1f%% %9.3f %8.1f %9.3f %6.1f%% %8.1f\n", p->name,
               1e3 * p->seconds, 100 * p->share, 1e-12 * p->flops_per_second,
               1e-9 * p->bytes_per_second, 1e3 * p->floor_seconds, 100 * p->floor_share,
               p->launches);
    }
}

static void print_line(const run *r) {
    const weft_bench *b = &r->bench;
    printf("%-13s %7d %9.0f %9.3f %9.3f %10.1f %10.1f %9.3f %7.1f%% %7.1f%% %7.1f%% %8.0f %8.2f "
           "%8.4f\n",
           r->job->id, r->job->clients, b->tokens / b->steps, 1e3 * b->step_median,
           1e3 * b->step_p95, 1e-3 * b->tokens_per_second, b->client_steps_per_second,
           1e-12 * b->flops_per_second, 100 * b->flops_share, 100 * b->frozen_mfu,
           100 * b->waiting_share, b->launches_per_step, (double)b->device_bytes / (1 << 30),
           b->loss);
    if (b->swap.record_bytes > 0)
        printf("    optimizer state: %llu records in, %llu out, %llu stayed, of %.2f MB each; %.2f "
               "GB/s over the bus\n",
               (unsigned long long)b->swap.in, (unsigned long long)b->swap.out,
               (unsigned long long)b->swap.stayed, 1e-6 * (double)b->swap.record_bytes,
               1e-9 * (double)(b->swap.in + b->swap.out) * (double)b->swap.record_bytes /
                   b->seconds);
    (void)fflush(stdout);
}

static void print_head(void) {
    printf("%-13s %7s %9s %9s %9s %10s %10s %9s %8s %8s %8s %8s %8s %8s\n", "experiment", "clients",
           "tok/step", "median ms", "p95 ms", "ktok/s", "client/s", "TFLOP/s", "of peak", "MFU",
           "waiting", "launches", "GiB", "loss");
}

static void write_json(FILE *f, const run *r, bool first) {
    const weft_bench *b = &r->bench;
    (void)fprintf(f,
                  "%s  {\"experiment\": \"%s\", \"model\": \"%s\", \"backend\": \"%s\", \"note\": "
                  "\"%s\", \"dtype\": \"%s\", \"placement\": %s, \"clients\": %d, \"batch\": %d, "
                  "\"length\": %d, \"ragged\": %s, \"steps\": %.0f, \"tokens_per_step\": %.1f, "
                  "\"step_ms_median\": %.4f, \"step_ms_p95\": %.4f, \"tokens_per_s\": %.1f, "
                  "\"client_steps_per_s\": %.2f, \"flops_per_s\": %.6g, \"flops_share\": %.4f, "
                  "\"model_flops_per_s\": %.6g, \"frozen_mfu\": %.4f, \"ceiling_flops_per_s\": "
                  "%.6g, \"ceiling_bytes_per_s\": %.6g, \"waiting_share\": %.4f, "
                  "\"launches_per_step\": %.1f, \"device_bytes\": %lld, \"swap_bytes\": %.0f, "
                  "\"loss\": %.6f,\n"
                  "   \"phases\": [",
                  first ? "" : ",\n", r->job->id, r->o->model, r->backend_text, r->note_text,
                  r->hidden, r->o->placement ? "true" : "false", r->job->clients, r->job->batch,
                  r->job->length, r->job->ragged ? "true" : "false", b->steps, b->tokens / b->steps,
                  1e3 * b->step_median, 1e3 * b->step_p95, b->tokens_per_second,
                  b->client_steps_per_second, b->flops_per_second, b->flops_share,
                  b->model_flops_per_second, b->frozen_mfu, b->ceilings.flops, b->ceilings.bytes,
                  b->waiting_share, b->launches_per_step, (long long)b->device_bytes,
                  (double)(b->swap.in + b->swap.out) * (double)b->swap.record_bytes, b->loss);
    for (int i = 0; i < b->n_phases; i++) {
        const weft_bench_phase *p = &b->phase[i];
        (void)fprintf(f,
                      "%s{\"name\": \"%s\", \"ms_per_step\": %.5f, \"gflop_per_step\": %.4f, "
                      "\"mb_per_step\": %.3f, \"floor_ms_per_step\": %.5f, "
                      "\"launches_per_step\": %.1f}",
                      i ? ", " : "", p->name, 1e3 * p->seconds, 1e-9 * p->flops, 1e-6 * p->bytes,
                      1e3 * p->floor_seconds, p->launches);
    }
    (void)fprintf(f, "]}");
}

/* `only` is a comma separated list of beginnings of ids. */
static bool wanted(const options *o, const job *j) {
    if (o->quick && !j->quick) return false;
    if (!o->only) return true;
    for (const char *p = o->only; *p;) {
        const size_t n = strcspn(p, ",");
        if (n && strncmp(j->id, p, n) == 0) return true;
        p += n + (p[n] == ',');
    }
    return false;
}

static options read_options(int argc, char **argv) {
    options o = {.device = "auto",
                 .dtype = "auto",
                 .model = "roberta-base",
                 .pack = "16896",
                 .threads = "0",
                 .steps = 12};
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--quick") == 0)
            o.quick = true;
        else if (strcmp(argv[i], "--placement") == 0)
            o.placement = true;
        else if (++i == argc)
            die("an argument lacks its value; see the head of bench_round.c", NULL);
        else if (strcmp(argv[i - 1], "--device") == 0)
            o.device = value;
        else if (strcmp(argv[i - 1], "--dtype") == 0)
            o.dtype = value;
        else if (strcmp(argv[i - 1], "--model") == 0)
            o.model = value;
        else if (strcmp(argv[i - 1], "--only") == 0)
            o.only = value;
        else if (strcmp(argv[i - 1], "--pack") == 0)
            o.pack = value;
        else if (strcmp(argv[i - 1], "--threads") == 0)
            o.threads = value;
        else if (strcmp(argv[i - 1], "--json") == 0)
            o.json = value;
        else if (strcmp(argv[i - 1], "--steps") == 0)
            o.steps = (int)strtol(value, NULL, 10);
        else
            die("an unknown argument; see the head of bench_round.c", NULL);
    }
    if (o.steps < WEFT_BENCH_MIN_STEPS || o.steps > MAX_STEPS) die("--steps is out of range", NULL);
    return o;
}

int main(int argc, char **argv) {
    const options o = read_options(argc, argv);
    const synthetic_shape *shape = synthetic_find(o.model);
    synthetic_model model;
    if (!shape) {
        (void)fprintf(stderr, "bench_round: unknown model %s; known: %s\n", o.model,
                      synthetic_known());
        return 2;
    }
    if (!synthetic_open(&model, shape)) die("no memory for weights", NULL);
    FILE *json = o.json ? fopen(o.json, "w") : NULL;
    if (o.json && !json) die("the JSON file cannot be written", NULL);
    if (json) (void)fprintf(json, "[\n");
    bool first = true;
    for (size_t i = 0; i < sizeof jobs / sizeof *jobs; i++) {
        if (!wanted(&o, &jobs[i])) continue;
        static run r;
        r = (run){.o = &o, .job = &jobs[i]};
        run_job(&r, &model);
        if (first) {
            printf("%s on %s (%s), hidden states %s; ceilings %.3f TFLOP/s, %.1f GB/s\n", o.model,
                   r.backend_text, r.note_text, r.hidden, 1e-12 * r.bench.ceilings.flops,
                   1e-9 * r.bench.ceilings.bytes);
        }
        print_head();
        print_line(&r);
        print_phases(&r);
        if (json) write_json(json, &r, first), (void)fflush(json);
        first = false;
    }
    if (json) {
        (void)fprintf(json, "\n]\n");
        if (fclose(json) != 0) die("the JSON file could not be written whole", NULL);
    }
    synthetic_close(&model);
    return first ? 2 : 0;
}
