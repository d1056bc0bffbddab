/* labels: golden */
/* The encoders against PyTorch, transformers and peft: two recorded clients with their own adapters
 * and ragged batches, together in one pack (golden_bed.h). */
#include "tests/check.h"
#include "tests/engine/golden_bed.h"
#include "tests/golden/bert.h"
#include "tests/golden/bert_regression.h"
#include "tests/golden/distilbert.h"
#include "tests/golden/roberta.h"

typedef struct golden_case {
    golden_device device;
    const golden_set *set;
} golden_case;

static golden_bounds bounds_of(const golden_case *c) {
    return c->device.hidden == WK_BF16 ? GOLDEN_BOUNDS_BF16 : GOLDEN_BOUNDS_F32;
}

static void test_forward_backward(void **state) {
    const golden_case *c = *state;
    assert_true(golden_forward_backward(&c->device, c->set, bounds_of(c)));
}

static void test_adamw(void **state) {
    const golden_case *c = *state;
    assert_true(golden_steps(&c->device, c->set, "adamw", bounds_of(c)));
}

static void test_sgd(void **state) {
    const golden_case *c = *state;
    assert_true(golden_steps(&c->device, c->set, "sgd", bounds_of(c)));
}

int main(void) {
    static const golden_set *const sets[] = {&golden_bert, &golden_roberta, &golden_distilbert,
                                             &golden_bert_regression};
    static const golden_device devices[] = {{"ref", NULL, WK_F32},
                                            {"cpu", NULL, WK_F32},
                                            {"ref", NULL, WK_BF16},
                                            {"cpu", NULL, WK_BF16}};
    static golden_case cases[16];
    static char names[48][64];
    struct CMUnitTest tests[48];
    size_t n = 0, c = 0;
    for (size_t s = 0; s < 4; s++)
        for (size_t d = 0; d < 4; d++) {
            cases[c] = (golden_case){devices[d], sets[s]};
            const struct {
                const char *name;
                CMUnitTestFunction run;
            } kinds[] = {{"forward and backward", test_forward_backward},
                         {"ten AdamW steps", test_adamw},
                         {"five clipped SGD steps", test_sgd}};
            for (size_t k = 0; k < (sets[s] == &golden_bert ? 3 : 2); k++) {
                (void)snprintf(names[n], sizeof names[n], "%s %s %s: %s", sets[s]->file,
                               devices[d].name, wk_dtype_name(devices[d].hidden), kinds[k].name);
                tests[n] = (struct CMUnitTest){names[n], kinds[k].run, NULL, NULL, &cases[c]};
                n++;
            }
            c++;
        }
    return _cmocka_run_group_tests("golden encoder", tests, n, NULL, NULL);
}
