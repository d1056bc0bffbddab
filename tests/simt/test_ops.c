/* Every op case through the CUDA kernels on the emulator, against its formula, in one order of
 * threads.  simt_ops [--order forward|reversed|random] [--op NAME] */
#include "tests/kernels/op_run.h"
#include "tests/simt/dev_simt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOLERANCE 2e-5 /* float sums in another order than the formula's */

static int order_named(const char *name) {
    static const char *const names[] = {"forward", "reversed", "random"};
    for (int i = 0; i < 3; i++)
        if (strcmp(name, names[i]) == 0) return i;
    (void)fprintf(stderr, "unknown order %s\n", name);
    exit(2);
}

int main(int argc, char **argv) {
    const char *only = NULL;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--order") == 0) simt_order(order_named(argv[i + 1]), 1);
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
        op_run run;
        weft_status st = op_run_case(&run, dev, c);
        if (st == WEFT_OK) st = op_check(&run, TOLERANCE, NULL);
        op_close(&run);
        ran++;
        if (st == WEFT_OK) continue;
        failed++;
        printf("FAIL %s (%s): %s\n", c->op, c->name, ctx.err.text);
    }
    wk_dev_close(dev);
    printf("%d cases, %d failed\n", ran, failed);
    return failed || !ran;
}
