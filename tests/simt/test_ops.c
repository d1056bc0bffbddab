/* Every op case through the CUDA kernels on the emulator, against its formula, in one order of
 * threads.
 *
 *   simt_ops [--order forward|reversed|random] [--op NAME] [--threads N]
 *
 * --threads leaves out cases that launch more than N threads, where each is dear (TSan), except an
 * op's smallest, so that every op runs. */
#include "tests/kernels/op_run.h"
#include "tests/simt/dev_simt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOLERANCE 2e-5 /* float sums in another order than the formula's */
#define MAX_CASES 4096

static simt_order_kind order_named(const char *name) {
    static const char *const names[] = {"forward", "reversed", "random"};
    for (int i = 0; i < 3; i++)
        if (strcmp(name, names[i]) == 0) return (simt_order_kind)i;
    (void)fprintf(stderr, "unknown order %s\n", name);
    exit(2);
}

static weft_status run_case(wk_dev *dev, const op_case *c, bool check) {
    op_run run;
    weft_status st = op_run_case(&run, dev, c);
    if (st == WEFT_OK && check) st = op_check(&run, TOLERANCE, NULL);
    op_close(&run);
    return st;
}

/* Threads that the case launches; no kernel runs. */
static uint64_t threads_of(wk_dev *dev, const op_case *c) {
    const uint64_t before = simt_threads();
    simt_count_only(true);
    if (run_case(dev, c, false)) printf("%s (%s): %s\n", c->op, c->name, dev->ctx->err.text);
    simt_count_only(false);
    return simt_threads() - before;
}

/* Whether no case of the same op needs fewer threads; of equals the first. */
static bool is_smallest(const uint64_t *threads, int i) {
    for (int j = 0; op_case_at(j); j++)
        if (strcmp(op_case_at(j)->op, op_case_at(i)->op) == 0 &&
            (threads[j] < threads[i] || (threads[j] == threads[i] && j < i)))
            return false;
    return true;
}

int main(int argc, char **argv) {
    static uint64_t threads[MAX_CASES];
    const char *only = NULL;
    uint64_t most = UINT64_MAX;
    for (int i = 1; i < argc; i += 2) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--order") == 0)
            simt_order(order_named(value), 1);
        else if (strcmp(argv[i], "--op") == 0)
            only = value;
        else if (strcmp(argv[i], "--threads") == 0)
            most = strtoull(value, NULL, 10);
        else
            return (void)fprintf(stderr, "unknown argument %s\n", argv[i]), 2;
    }
    wk_ctx ctx;
    wk_dev *dev = NULL;
    wk_ctx_init(&ctx, NULL);
    if (wk_dev_open_backend(&dev, &ctx, &wk_backend_simt, &(wk_dev_options){.threads = 1})) {
        (void)fprintf(stderr, "%s\n", ctx.err.text);
        return 1;
    }
    int ran = 0, failed = 0, left_out = 0;
    if (most != UINT64_MAX)
        for (int i = 0; op_case_at(i) && i < MAX_CASES; i++)
            threads[i] = threads_of(dev, op_case_at(i));
    for (int i = 0; op_case_at(i) && i < MAX_CASES; i++) {
        const op_case *c = op_case_at(i);
        if (only && strcmp(only, c->op) != 0) continue;
        if (threads[i] > most && !is_smallest(threads, i)) {
            left_out++;
            continue;
        }
        ran++;
        if (run_case(dev, c, true) == WEFT_OK) continue;
        failed++;
        printf("FAIL %s (%s): %s\n", c->op, c->name, ctx.err.text);
    }
    wk_dev_close(dev);
    printf("%d cases, %d failed, %d left out; %llu threads\n", ran, failed, left_out,
           (unsigned long long)simt_threads());
    return failed || !ran;
}
