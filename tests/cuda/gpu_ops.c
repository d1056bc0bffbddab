/* Every op case on the cuda device against its formula, and twice to the same bits (R1), with the
 * algorithms of a run and with those of placement.  gpu_ops [OP] */
#include "tests/cuda/gpu.h"
#include "tests/kernels/op_run.h"

#define TOLERANCE 2e-5 /* float sums in another order than the formula's */

static weft_status run_twice(wk_dev *dev, const op_case *c, double *worst) {
    op_run first, second;
    memset(&second, 0, sizeof second);
    weft_status st = op_run_case(&first, dev, c);
    if (st == WEFT_OK) st = op_run_case(&second, dev, c);
    /* First the bits: op_check overwrites what it has looked at. */
    if (st == WEFT_OK) st = op_same_bits(&first, &second);
    if (st == WEFT_OK) st = op_check(&first, TOLERANCE, worst);
    op_close(&first);
    op_close(&second);
    return st;
}

static int run_all(const char *only, bool placement) {
    wk_ctx ctx;
    int ran = 0;
    wk_ctx_init(&ctx, NULL);
    wk_dev *dev = gpu_open(&ctx, (wk_dev_options){.placement = placement});
    printf("%s\n", dev->note);
    for (int i = 0; op_case_at(i); i++) {
        const op_case *c = op_case_at(i);
        double worst = 0;
        if (only && strcmp(only, c->op) != 0) continue;
        ran++;
        if (run_twice(dev, c, &worst) == WEFT_OK) {
            if (only) printf("%s (%s): worst %.2e\n", c->op, c->name, worst);
            continue;
        }
        gpu_failures++;
        printf("FAIL %s (%s): %s\n", c->op, c->name, ctx.err.text);
    }
    wk_dev_close(dev);
    return ran;
}

int main(int argc, char **argv) {
    const char *only = argc > 1 ? argv[1] : NULL;
    int ran = run_all(only, false);
    ran += run_all(only, true);
    printf("%d cases\n", ran);
    CHECK(ran > 0);
    return gpu_end("gpu_ops");
}
