/* Every op case on the cuda device, in every mix of float32 and bfloat16, against its formula, and
 * twice to the same bits (R1); the frozen linears also with the algorithms of options.placement.
 * gpu_ops [OP] */
#include "tests/cuda/gpu.h"
#include "tests/kernels/op_run.h"

/* Float sums in another order than the formula's; and for products with a bfloat16 operand, whose
 * other factors may be rounded to bfloat16 too, 2^-8 of the tensor's largest element: each factor
 * is wrong by up to 2^-9 of itself, and the errors of a sum's terms mostly cancel. op_check adds
 * the rounding on store. */
#define TOLERANCE         2e-5
#define TOLERANCE_PRODUCT 0.00390625

static weft_status run_twice(wk_dev *dev, const op_case *c, unsigned halves, double *worst) {
    const double tolerance = halves && op_multiplies(c) ? TOLERANCE_PRODUCT : TOLERANCE;
    op_run first, second;
    memset(&second, 0, sizeof second);
    weft_status st = op_run_case_as(&first, dev, c, halves);
    if (st == WEFT_OK) st = op_run_case_as(&second, dev, c, halves);
    /* First the bits: op_check overwrites what it has looked at. */
    if (st == WEFT_OK) st = op_same_bits(&first, &second);
    if (st == WEFT_OK) st = op_check(&first, tolerance, worst);
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
        if (only && strcmp(only, c->op) != 0) continue;
        /* Placement changes the products with the base and nothing else. */
        if (placement && strncmp(c->op, "linear_", 7) != 0) continue;
        for (unsigned halves = 0; halves < op_variants(c); halves++) {
            double worst = 0;
            ran++;
            const weft_status st = run_twice(dev, c, halves, &worst);
            if (st == WEFT_OK && !only) continue;
            printf("%s %s (%s, bfloat16 groups 0x%x): ", st ? "FAIL" : "ok", c->op, c->name,
                   halves);
            if (st)
                printf("%s\n", ctx.err.text);
            else
                printf("worst %.2e\n", worst);
            gpu_failures += st != WEFT_OK;
        }
    }
    wk_dev_close(dev);
    return ran;
}

int main(int argc, char **argv) {
    const char *only = argc > 1 ? argv[1] : NULL;
    int ran = run_all(only, false);
    ran += run_all(only, true);
    printf("%d runs of cases\n", ran);
    CHECK(ran > 0);
    return gpu_end("gpu_ops");
}
