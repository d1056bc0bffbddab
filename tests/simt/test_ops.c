/* Every op case through the CUDA kernels on the emulator, against its formula, in one order of
 * threads.  simt_ops [--order forward|reversed|random] [--op NAME] [--dtype f32|bf16|all]
 * bf16: every mix of the two dtypes but float32 alone. */
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

static double tolerance_of(const op_case *c, unsigned halves) {
    return halves && op_multiplies(c) ? TOLERANCE_PRODUCT : TOLERANCE;
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
    const char *only = NULL;
    int dtype = 0;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--order") == 0) simt_order(index_of(argv[i + 1], orders, 3), 1);
        if (strcmp(argv[i], "--dtype") == 0) dtype = index_of(argv[i + 1], dtypes, 3);
        if (strcmp(argv[i], "--op") == 0) only = argv[i + 1];
    }
    wk_ctx ctx;
    wk_dev *dev = NULL;
    wk_ctx_init(&ctx, NULL);
    if (wk_dev_open_backend(&dev, &ctx, &wk_backend_simt, &(wk_dev_options){.threads = 1})) {
        (void)fprintf(stderr, "%s\n", ctx.err.text);
        return 1;
    }
    int ran = 0, failed = 0;
    for (int i = 0; op_case_at(i); i++) {
        const op_case *c = op_case_at(i);
        if (only && strcmp(only, c->op) != 0) continue;
        const unsigned from = dtype == 2 ? 1 : 0, to = dtype == 1 ? 1 : op_variants(c);
        for (unsigned halves = from; halves < to; halves++) {
            op_run run;
            weft_status st = op_run_case_as(&run, dev, c, halves);
            if (st == WEFT_OK) st = op_check(&run, tolerance_of(c, halves), NULL);
            op_close(&run);
            ran++;
            if (st == WEFT_OK) continue;
            failed++;
            printf("FAIL %s (%s, bfloat16 groups 0x%x): %s\n", c->op, c->name, halves,
                   ctx.err.text);
        }
    }
    wk_dev_close(dev);
    printf("%d runs of cases, %d failed\n", ran, failed);
    return failed || !ran;
}
