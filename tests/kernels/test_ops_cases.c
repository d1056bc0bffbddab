/* labels: op */
/* Every case, in every mix of float32 and bfloat16 that its hidden operands can have, on the host
 * devices against its formula; the same bits for any number of threads; the dry device runs the
 * same calls. */
#include "kernels/cpu/cpu.h"
#include "tests/check.h"
#include "tests/kernels/op_run.h"

#include <string.h>

typedef struct subject {
    const char *backend;
    double tolerance; /* per tensor: max|got - want| / max|want| */
    double rounded;   /* of products whose float32 factors may be rounded to bfloat16 */
} subject;

/* ref: one rounding on store, and formulas that sum in another order. op_check allows a bfloat16
 * its own rounding, so ref has to store the nearest one. */
static const subject ref = {"ref", 1.5e-7, 1.5e-7};
/* cpu: sums of at most a few hundred floats, and polynomials for exp, erf and tanh. Attention that
 * multiplies bfloat16 as such rounds probabilities and their gradients by up to 2^-9, and sums of
 * them may cancel; the bound is that of a GPU (tests/cuda/gpu_ops.c). */
static const subject cpu = {"cpu", 2e-6, 1.0 / 256};
/* Instruction sets that widen bfloat16 round nothing; in four lanes and without fused multiply-adds
 * chains are longer. */
static const subject cpu_widens = {"cpu", 2e-6, 2e-6}, cpu_base = {"cpu", 5e-6, 5e-6};

static wk_ctx ctx;

static wk_dev *open_device(const char *backend, int threads) {
    wk_dev *dev = NULL;
    wk_ctx_init(&ctx, NULL);
    check_ok(wk_dev_open(&dev, &ctx, &(wk_dev_options){.backend = backend, .threads = threads}),
             &ctx.err);
    return dev;
}

/* A case, and which of its hidden operands are bfloat16. */
typedef struct variant {
    const op_case *c;
    unsigned halves;
} variant;

/* The i-th variant of all cases, c NULL behind the last. */
static variant variant_at(int i) {
    for (int n = 0; op_case_at(n); n++) {
        const int count = (int)op_variants(op_case_at(n));
        if (i < count) return (variant){op_case_at(n), (unsigned)i};
        i -= count;
    }
    return (variant){NULL, 0};
}

/* attn_bwd is given lse rounded to float; the formula keeps it in double. */
static double tolerance_of(const subject *s, variant v) {
    const bool attention = strncmp(v.c->op, "attn_", 5) == 0;
    const double tolerance = attention && v.halves ? s->rounded : s->tolerance;
    return strcmp(v.c->op, "attn_bwd") == 0 ? tolerance + 1e-6 : tolerance;
}

static void report(variant v, weft_status st) {
    if (st != WEFT_OK) {
        print_error("%s (%s, bfloat16 groups 0x%x): %s\n", v.c->op, v.c->name, v.halves,
                    ctx.err.text);
        fail();
    }
}

static void results_on(wk_dev *dev, const subject *s) {
    for (int i = 0; variant_at(i).c; i++) {
        const variant v = variant_at(i);
        op_run run;
        report(v, op_run_case_as(&run, dev, v.c, v.halves));
        report(v, op_check(&run, tolerance_of(s, v), NULL));
        op_close(&run);
    }
    assert_int_equal(dev->held, 0);
}

static void results_follow_the_formulas(void **state) {
    const subject *s = *state;
    wk_dev *dev = open_device(s->backend, 2);
    results_on(dev, s);
    wk_dev_close(dev);
}

static void same_bits_on(wk_dev *one, wk_dev *other) {
    for (int i = 0; variant_at(i).c; i++) {
        const variant v = variant_at(i);
        op_run a, b;
        report(v, op_run_case_as(&a, one, v.c, v.halves));
        report(v, op_run_case_as(&b, other, v.c, v.halves));
        report(v, op_same_bits(&a, &b));
        op_close(&a), op_close(&b);
    }
}

static void threads_change_no_bit(void **state) {
    const char *name = ((const subject *)*state)->backend;
    wk_dev *one = open_device(name, 1), *two = open_device(name, 2), *many = open_device(name, 3);
    same_bits_on(one, two);
    same_bits_on(one, many);
    wk_dev_close(one), wk_dev_close(two), wk_dev_close(many);
}

/* Every instruction set of the cpu device that this processor has. */
static void every_instruction_set(void **state) {
    static const char *const names[] = {"base", "v3", "v4", "v4bf16"};
    (void)state;
    int ran = 0;
    for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
        wk_dev *one = open_device("cpu", 1), *many = open_device("cpu", 3);
        if (cpu_isa_select(one, names[n]) == WEFT_OK) {
            check_ok(cpu_isa_select(many, names[n]), &ctx.err);
            print_message("%s\n", one->note);
            results_on(one, n == 0 ? &cpu_base : n < 3 ? &cpu_widens : &cpu);
            same_bits_on(one, many);
            ran++;
        }
        wk_dev_close(one), wk_dev_close(many);
    }
    assert_true(ran > 0);
}

static void dry_accepts_and_counts_every_case(void **state) {
    (void)state;
    wk_dev *dev = open_device("dry", 1);
    for (int i = 0; variant_at(i).c; i++) {
        const variant v = variant_at(i);
        const op_case *c = v.c;
        op_run run;
        uint64_t calls = dev->count.ops;
        double bytes = dev->count.bytes;
        report(v, op_run_case_as(&run, dev, c, v.halves));
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

/* Bytes follow the dtypes: what a case moves in float32 is twice what it moves in bfloat16 where
 * every operand is hidden. */
static void dry_counts_bf16_as_half(void **state) {
    (void)state;
    wk_dev *dev = open_device("dry", 1);
    int compared = 0;
    for (int i = 0; op_case_at(i); i++) {
        const op_case *c = op_case_at(i);
        double bytes[2];
        if (strncmp(c->op, "act_", 4) && strncmp(c->op, "linear_", 7)) continue;
        for (unsigned half = 0; half < 2; half++) {
            op_run run;
            dev->count.bytes = 0;
            report((variant){c, half}, op_run_case_as(&run, dev, c, half));
            bytes[half] = dev->count.bytes;
            op_close(&run);
        }
        assert_true(bytes[0] == 2 * bytes[1]);
        compared++;
    }
    assert_true(compared > 0);
    wk_dev_close(dev);
}

/* op_run knows how many groups of hidden operands an op has; some case declares all of them. */
static void every_hidden_operand_is_varied(void **state) {
    (void)state;
    wk_dev *dev = open_device("dry", 1);
    for (int i = 0; op_case_at(i); i++) {
        unsigned declared = 1;
        for (int j = 0; op_case_at(j); j++) {
            if (strcmp(op_case_at(j)->op, op_case_at(i)->op) != 0) continue;
            op_run run;
            check_ok(op_run_case(&run, dev, op_case_at(j)), &ctx.err);
            if (declared < 1u << run.groups) declared = 1u << run.groups;
            op_close(&run);
        }
        assert_int_equal(declared, op_variants(op_case_at(i)));
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

/* Nor does a bfloat16 that is not the nearest pass. */
static void op_check_sees_a_bf16_off_by_one(void **state) {
    (void)state;
    wk_dev *dev = open_device("ref", 1);
    const op_case *act = NULL;
    for (int i = 0; op_case_at(i) && !act; i++)
        if (strcmp(op_case_at(i)->op, "act_fwd") == 0) act = op_case_at(i);
    assert_non_null(act);
    op_run run;
    check_ok(op_run_case_as(&run, dev, act, 1), &ctx.err);
    check_ok(op_check(&run, ref.tolerance, NULL), &ctx.err);
    op_buf *y = &run.buf[1];
    assert_true(y->want && y->t.dtype == WK_BF16);
    int64_t largest = 0;
    for (int64_t j = 1; j < act->s.d; j++)
        if (y->want[j] > y->want[largest]) largest = j;
    y->after[2 * largest] ^= 1;
    assert_int_equal(op_check(&run, ref.tolerance, NULL), WEFT_E_DEVICE);
    op_close(&run);
    wk_dev_close(dev);
}

#define STATE(subject) (void *)(uintptr_t) & (subject) /* cmocka's state is not const */

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_op_has_a_case),
        cmocka_unit_test(every_hidden_operand_is_varied),
        cmocka_unit_test(op_check_can_fail),
        cmocka_unit_test(op_check_sees_a_bf16_off_by_one),
        {"ref follows the formulas", results_follow_the_formulas, NULL, NULL, STATE(ref)},
        {"cpu follows the formulas", results_follow_the_formulas, NULL, NULL, STATE(cpu)},
        {"ref: threads change no bit", threads_change_no_bit, NULL, NULL, STATE(ref)},
        {"cpu: threads change no bit", threads_change_no_bit, NULL, NULL, STATE(cpu)},
        cmocka_unit_test(every_instruction_set),
        cmocka_unit_test(dry_accepts_and_counts_every_case),
        cmocka_unit_test(dry_counts_bf16_as_half),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
