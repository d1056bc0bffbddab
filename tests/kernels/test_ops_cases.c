/* labels: op */
/* Every case on the reference device against its formula; the same bits for any number of threads;
 * the dry device runs the same calls. */
#include "kernels/dev.h"
#include "tests/check.h"
#include "tests/kernels/op_run.h"

#include <string.h>

typedef struct subject {
    const char *backend;
    double tolerance; /* per tensor: max|got - want| / max|want| */
} subject;

/* ref: one rounding to float on store, and formulas that sum in another order. */
static const subject ref = {"ref", 1.5e-7};
/* cpu: sums of at most a few hundred floats, and polynomials for exp, erf and tanh. */
static const subject cpu = {"cpu", 2e-6};

/* attn_bwd is given o and lse rounded to float; the formula keeps them in double. */
static double tolerance_of(const subject *s, const op_case *c) {
    return strcmp(c->op, "attn_bwd") == 0 ? s->tolerance + 1e-6 : s->tolerance;
}

static wk_ctx ctx;

static wk_dev *open_device(const char *backend, int threads) {
    wk_dev *dev = NULL;
    wk_ctx_init(&ctx, NULL);
    check_ok(wk_dev_open(&dev, &ctx, &(wk_dev_options){.backend = backend, .threads = threads}),
             &ctx.err);
    return dev;
}

static void report(const op_case *c, weft_status st) {
    if (st != WEFT_OK) {
        print_error("%s (%s): %s\n", c->op, c->name, ctx.err.text);
        fail();
    }
}

static void results_follow_the_formulas(void **state) {
    const subject *s = *state;
    wk_dev *dev = open_device(s->backend, 2);
    for (int i = 0; op_case_at(i); i++) {
        op_run run;
        report(op_case_at(i), op_run_case(&run, dev, op_case_at(i)));
        report(op_case_at(i), op_check(&run, tolerance_of(s, op_case_at(i)), NULL));
        op_close(&run);
    }
    assert_int_equal(dev->held, 0);
    wk_dev_close(dev);
}

static void threads_change_no_bit(void **state) {
    const char *name = ((const subject *)*state)->backend;
    wk_dev *one = open_device(name, 1), *two = open_device(name, 2), *many = open_device(name, 3);
    for (int i = 0; op_case_at(i); i++) {
        op_run a, b, c;
        report(op_case_at(i), op_run_case(&a, one, op_case_at(i)));
        report(op_case_at(i), op_run_case(&b, two, op_case_at(i)));
        report(op_case_at(i), op_run_case(&c, many, op_case_at(i)));
        report(op_case_at(i), op_same_bits(&a, &b));
        report(op_case_at(i), op_same_bits(&a, &c));
        op_close(&a), op_close(&b), op_close(&c);
    }
    wk_dev_close(one), wk_dev_close(two), wk_dev_close(many);
}

static void dry_accepts_and_counts_every_case(void **state) {
    (void)state;
    wk_dev *dev = open_device("dry", 1);
    for (int i = 0; op_case_at(i); i++) {
        const op_case *c = op_case_at(i);
        op_run run;
        uint64_t calls = dev->count.ops;
        double bytes = dev->count.bytes;
        report(c, op_run_case(&run, dev, c));
        bool packs = strncmp(c->op, "linear_", 7) == 0;
        assert_int_equal(dev->count.ops - calls, packs ? 2 : 1);
        if (dev->count.bytes <= bytes) {
            print_error("%s (%s) counted no bytes\n", c->op, c->name);
            fail();
        }
        op_close(&run);
    }
    wk_dev_close(dev);
}

static void every_op_has_a_case(void **state) {
    (void)state;
    for (int op = 0; wk_op_name(op)[0] != '?'; op++) {
        bool found = strcmp(wk_op_name(op), "weight_pack") == 0; /* part of the linear cases */
        for (int i = 0; op_case_at(i) && !found; i++)
            found = strcmp(op_case_at(i)->op, wk_op_name(op)) == 0;
        if (!found) {
            print_error("op %s has no case\n", wk_op_name(op));
            fail();
        }
    }
}

/* The checker itself: a wrong number, a write into padding and a write into an input are seen. */
static void op_check_can_fail(void **state) {
    (void)state;
    wk_dev *dev = open_device("ref", 1);
    const op_case *axpy = NULL;
    for (int i = 0; op_case_at(i) && !axpy; i++)
        if (strcmp(op_case_at(i)->op, "axpy") == 0) axpy = op_case_at(i);
    assert_non_null(axpy);
    for (int what = 0; what < 3; what++) {
        op_run run;
        check_ok(op_run_case(&run, dev, axpy), &ctx.err);
        op_buf *x = &run.buf[0], *y = &run.buf[1];
        assert_true(axpy->s.pad > 0 && !x->want && y->want);
        size_t place = what == 0 ? 4 : (size_t)axpy->s.d * 4; /* y[0,1], or the pad of row 0 */
        (what == 2 ? x : y)->after[place] ^= 0x40;
        (what == 2 ? x : y)->after[place + 3] ^= 0x40;
        assert_int_equal(op_check(&run, ref.tolerance, NULL), WEFT_E_DEVICE);
        op_close(&run);
    }
    wk_dev_close(dev);
}

#define STATE(subject) (void *)(uintptr_t) & (subject) /* cmocka's state is not const */

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_op_has_a_case),
        cmocka_unit_test(op_check_can_fail),
        {"ref follows the formulas", results_follow_the_formulas, NULL, NULL, STATE(ref)},
        {"cpu follows the formulas", results_follow_the_formulas, NULL, NULL, STATE(cpu)},
        {"ref: threads change no bit", threads_change_no_bit, NULL, NULL, STATE(ref)},
        {"cpu: threads change no bit", threads_change_no_bit, NULL, NULL, STATE(cpu)},
        cmocka_unit_test(dry_accepts_and_counts_every_case),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
