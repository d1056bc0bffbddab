/* Every op case through the CUDA kernels on the emulator, against its formula, in one order of
 * threads.
 *
 *   simt_ops [--order forward|reversed|random] [--op NAME] [--dtype f32|bf16|all] [--threads N]
 *
 * bf16: every mix of the two dtypes but float32 alone. --threads leaves out runs of cases that
 * launch more than N threads, for tools under which they take long, but never an op's smallest. */
#include "tests/kernels/op_run.h"
#include "tests/simt/dev_simt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* float sums in another order than the formula's. op_check adds half a unit in the last place where
 * a result is stored as bfloat16. */
#define TOLERANCE 2e-5

/* Products with a bfloat16 operand may round their other factors to bfloat16 too, which is wrong by
 * up to 2^-9 of each. Errors of both factors add up, those of the terms of a sum mostly cancel:
 * 2^-8 of the tensor's largest element. */
#define TOLERANCE_PRODUCT 0.00390625

#define MAX_RUNS 4096

/* A case with some of its operands as bfloat16, a bit for each group. */
typedef struct case_run {
    const op_case *c;
    unsigned halves;
    uint64_t threads; /* that it launches */
} case_run;

static double tolerance_of(const case_run *r) {
    return r->halves && op_multiplies(r->c) ? TOLERANCE_PRODUCT : TOLERANCE;
}

static weft_status run_case(wk_dev *dev, const case_run *r, bool check) {
    op_run run;
    weft_status st = op_run_case_as(&run, dev, r->c, r->halves);
    if (st == WEFT_OK && check) st = op_check(&run, tolerance_of(r), NULL);
    op_close(&run);
    return st;
}

/* Without running a kernel. */
static weft_status count_threads(wk_dev *dev, case_run *r) {
    const uint64_t before = simt_threads();
    simt_count_only(true);
    const weft_status st = run_case(dev, r, false);
    simt_count_only(false);
    r->threads = simt_threads() - before;
    return st;
}

/* Whether no run of the same op needs fewer threads; of equals the first. */
static bool is_smallest(const case_run *runs, int n, const case_run *r) {
    for (int i = 0; i < n; i++)
        if (strcmp(runs[i].c->op, r->c->op) == 0 &&
            (runs[i].threads < r->threads || (runs[i].threads == r->threads && &runs[i] < r)))
            return false;
    return true;
}

static int index_of(const char *name, const char *const *names, int n) {
    for (int i = 0; i < n; i++)
        if (strcmp(name, names[i]) == 0) return i;
    (void)fprintf(stderr, "unknown value %s\n", name);
    exit(2);
}

int main(int argc, char **argv) {
    static const char *const orders[] = {"forward", "reversed", "random"};
    static const char *const dtypes[] = {"all", "f32", "bf16"};
    static case_run runs[MAX_RUNS];
    const char *only = NULL;
    int dtype = 0, n = 0, ran = 0, failed = 0;
    uint64_t most = UINT64_MAX;
    for (int i = 1; i < argc; i += 2) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--order") == 0) {
            simt_order(index_of(value, orders, 3), 1);
        } else if (strcmp(argv[i], "--dtype") == 0) {
            dtype = index_of(value, dtypes, 3);
        } else if (strcmp(argv[i], "--op") == 0) {
            only = value;
        } else if (strcmp(argv[i], "--threads") == 0) {
            most = strtoull(value, NULL, 10);
        } else {
            (void)fprintf(stderr, "unknown argument %s\n", argv[i]);
            return 2;
        }
    }
    wk_ctx ctx;
    wk_dev *dev = NULL;
    wk_ctx_init(&ctx, NULL);
    if (wk_dev_open_backend(&dev, &ctx, &wk_backend_simt, &(wk_dev_options){.threads = 1})) {
        (void)fprintf(stderr, "%s\n", ctx.err.text);
        return 1;
    }
    for (int i = 0; op_case_at(i); i++) {
        const op_case *c = op_case_at(i);
        if (only && strcmp(only, c->op) != 0) continue;
        const unsigned from = dtype == 2 ? 1 : 0, to = dtype == 1 ? 1 : op_variants(c);
        for (unsigned halves = from; halves < to; halves++) {
            if (n == MAX_RUNS) {
                (void)fprintf(stderr, "more than %d runs of cases\n", MAX_RUNS);
                return 1;
            }
            runs[n].c = c, runs[n].halves = halves;
            if (most != UINT64_MAX && count_threads(dev, &runs[n]) != WEFT_OK) {
                printf("FAIL %s (%s): %s\n", c->op, c->name, ctx.err.text);
                return 1;
            }
            n++;
        }
    }
    for (const case_run *r = runs; r < runs + n; r++) {
        if (r->threads > most && !is_smallest(runs, n, r)) continue;
        ran++;
        if (run_case(dev, r, true) == WEFT_OK) continue;
        failed++;
        printf("FAIL %s (%s, bfloat16 groups 0x%x): %s\n", r->c->op, r->c->name, r->halves,
               ctx.err.text);
    }
    wk_dev_close(dev);
    printf("%d runs of cases, %d failed, %d left out\n", ran, failed, n - ran);
    return failed || !ran;
}
