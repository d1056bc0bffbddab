/* Rounds of one synthetic job, on request: our side of sweep.py, which lets a rival take its turns
 * between them.
 *
 *   bench_clients [--model NAME] [--clients K] [--batch B] [--length L] [--steps N]
 *                 [--dtype auto|f32|bf16] [--threads N] [--pack TOKENS] [--slots N]
 *
 * K clients of B rows of L tokens, which are one batch, N local steps in every round. One line of
 * JSON says what was opened; then each line of standard input is a number of rounds to run, and one
 * line of JSON answers with the seconds of each, by the clock and of processors, and the losses of
 * the last. */
#include "bench/bench_floor.h"
#include "bench/synthetic_job.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct options {
    const char *model, *dtype, *threads, *pack, *slots, *steps;
    int clients, batch, length;
} options;

static int die(const char *what, const char *text) {
    (void)fprintf(stderr, "bench_clients: %s%s%s\n", what, text ? ": " : "", text ? text : "");
    return 1;
}

static int whole(const char *text) {
    char *end;
    const long n = strtol(text, &end, 10);
    return *end || n < 1 || n > 1 << 24 ? -1 : (int)n;
}

/* False: an argument is unknown, lacks its value or is no number. */
static bool read_options(options *o, int argc, char **argv) {
    const struct {
        const char *name;
        const char **text;
        int *number;
    } known[] = {{"--model", &o->model, NULL},     {"--dtype", &o->dtype, NULL},
                 {"--threads", &o->threads, NULL}, {"--pack", &o->pack, NULL},
                 {"--slots", &o->slots, NULL},     {"--steps", &o->steps, NULL},
                 {"--clients", NULL, &o->clients}, {"--batch", NULL, &o->batch},
                 {"--length", NULL, &o->length}};
    for (int i = 1; i < argc; i += 2) {
        size_t k = 0;
        while (k < sizeof known / sizeof *known && strcmp(known[k].name, argv[i]) != 0) k++;
        if (k == sizeof known / sizeof *known || i + 1 == argc) return false;
        if (known[k].text) *known[k].text = argv[i + 1];
        if (known[k].number && (*known[k].number = whole(argv[i + 1])) < 0) return false;
    }
    return true;
}

static void print_job(const synthetic_job *job, double peak) {
    weft_engine_info info;
    weft_engine_info_get(job->engine, &info);
    printf("{\"backend\": \"%s\", \"note\": \"%s\", \"dtype\": \"%s\", \"threads\": %d, "
           "\"slots\": %d, \"pack_tokens\": %lld, \"adapter_numel\": %lld, \"round_tokens\": %lld, "
           "\"round_steps\": %lld, \"needed_flops\": %.6g, \"computed_flops\": %.6g, "
           "\"peak_flops\": %.6g, \"plan_bytes\": %llu}\n",
           info.backend, info.backend_note, info.hidden_dtype, info.threads, info.slots,
           (long long)info.pack_tokens, (long long)info.adapter_numel,
           (long long)job->plan.profile_tokens, (long long)job->plan.profile_steps,
           job->plan.model_flops, job->plan.profile.total.flops, peak,
           (unsigned long long)job->plan.bytes_total);
    (void)fflush(stdout);
}

/* Of all threads of this process. */
static double processor_seconds(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#define ROUNDS_MAX 1000

static bool answer(weft_engine *engine, long rounds, weft_error *err) {
    static double cpu[ROUNDS_MAX];
    weft_round_report r = {0};
    printf("{\"seconds\": [");
    for (long i = 0; i < rounds; i++) {
        const double start = bench_now(), cpu_start = processor_seconds();
        if (weft_engine_round(engine, &r, err) != WEFT_OK) return false;
        printf("%s%.6f", i ? ", " : "", bench_now() - start);
        cpu[i] = processor_seconds() - cpu_start;
    }
    printf("], \"cpu_seconds\": [");
    for (long i = 0; i < rounds; i++) printf("%s%.6f", i ? ", " : "", cpu[i]);
    printf("], \"round\": %lld, \"loss\": %.7f, \"client_loss\": [", (long long)r.round, r.loss);
    for (int32_t i = 0; i < r.n_clients; i++) printf("%s%.7f", i ? ", " : "", r.clients[i].loss);
    printf("]}\n");
    return fflush(stdout) == 0;
}

static bool serve(synthetic_job *job, weft_error *err) {
    char line[64];
    while (fgets(line, sizeof line, stdin)) {
        const long rounds = strtol(line, NULL, 10);
        if (rounds < 1 || rounds > ROUNDS_MAX) break;
        if (!answer(job->engine, rounds, err)) return false;
    }
    return true;
}

/* Multiply-adds from registers in the dtype of the base. */
static double measure_peak(const synthetic_job *job) {
    weft_engine_info info;
    weft_engine_info_get(job->engine, &info);
    const bool halves = strcmp(info.hidden_dtype, "bfloat16") == 0;
    return bench_peak_flops(info.threads, halves ? WK_BF16 : WK_F32);
}

int main(int argc, char **argv) {
    options o = {.model = "minilm",
                 .dtype = "auto",
                 .threads = "0",
                 .pack = "2048",
                 .slots = "0",
                 .steps = "4",
                 .clients = 1,
                 .batch = 8,
                 .length = 128};
    if (!read_options(&o, argc, argv))
        return die("bad arguments; see the head of bench_clients.c", NULL);
    const synthetic_shape *shape = synthetic_find(o.model);
    if (!shape) return die("unknown model; known are", synthetic_known());
    char clients[16], batch[16];
    (void)snprintf(clients, sizeof clients, "%d", o.clients);
    (void)snprintf(batch, sizeof batch, "%d", o.batch);
    const char *const pairs[][2] = {{"run.device", "cpu"},
                                    {"run.dtype", o.dtype},
                                    {"run.threads", o.threads},
                                    {"fl.clients_per_round", clients},
                                    {"fl.num_rounds", "1000000"},
                                    {"engine.slots", o.slots},
                                    {"engine.pack_tokens", o.pack},
                                    {"client.batch_size", batch},
                                    {"client.local_steps", o.steps},
                                    {"client.learning_rate", "1e-3"},
                                    {NULL, NULL}};
    const synthetic_rows rows = {o.clients, o.batch, o.length, false};
    synthetic_model model;
    synthetic_job job;
    weft_error err = {0};
    if (!synthetic_open(&model, shape)) return die("no memory for weights", NULL);
    bool good = synthetic_job_open(&job, &model, &rows, pairs, &err);
    if (good) print_job(&job, measure_peak(&job));
    good = good && serve(&job, &err);
    synthetic_job_close(&job);
    synthetic_close(&model);
    return good ? 0 : die("failed", err.text);
}
