/* labels: golden */
/* The recorded sets themselves: that file and header belong together, that the tables are sound,
 * and that the recorded logits follow from the recorded head, so that a test which reads them reads
 * what it thinks. */
#include "tests/check.h"
#include "tests/golden/bert.h"
#include "tests/golden/bert_regression.h"
#include "tests/golden/distilbert.h"
#include "tests/golden/golden.h"
#include "tests/golden/roberta.h"

#include <string.h>

#define FOLDER WEFT_TEST_DIR "/golden"

static const golden_set *const sets[] = {&golden_bert, &golden_roberta, &golden_distilbert,
                                         &golden_bert_regression};
enum { NUM_SETS = sizeof sets / sizeof *sets };

static void tables_fill_their_files(void **state) {
    (void)state;
    for (int s = 0; s < NUM_SETS; s++) {
        size_t at = 0;
        for (size_t i = 0; i < sets[s]->num_tensors; i++) {
            const golden_tensor *t = &sets[s]->tensors[i];
            assert_true(t->offset == at);
            assert_ptr_equal(golden_find(sets[s], t->name), t); /* names are unique */
            at += 4 * golden_count(t);
        }
        assert_true(at == sets[s]->bytes);
    }
}

/* logits = pooled * W^T + b, with the head as the client trains it. */
static void logits_follow_from_the_head(void **state) {
    (void)state;
    for (int s = 0; s < NUM_SETS; s++) {
        golden_file g;
        assert_true(golden_load(FOLDER, sets[s], &g));
        bool roberta = strcmp(golden_text(sets[s], "model_type"), "roberta") == 0;
        for (int client = 0; client < 2; client++) {
            char name[4][128];
            const char *leaf = roberta ? "classifier.out_proj" : "classifier";
            snprintf(name[0], sizeof name[0], "c%d/pooled", client);
            snprintf(name[1], sizeof name[1], "c%d/logits", client);
            snprintf(name[2], sizeof name[2], "c%d/adapter/base_model.model.%s.weight", client,
                     leaf);
            snprintf(name[3], sizeof name[3], "c%d/adapter/base_model.model.%s.bias", client, leaf);
            const golden_tensor *p, *l;
            const float *pooled = golden_f32(&g, name[0], &p);
            const float *logits = golden_f32(&g, name[1], &l);
            const float *weight = golden_f32(&g, name[2], NULL);
            const float *bias = golden_f32(&g, name[3], NULL);
            float want[64];
            for (int row = 0; row < l->dim[0]; row++)
                for (int c = 0; c < l->dim[1]; c++) {
                    double sum = (double)bias[c];
                    for (int k = 0; k < p->dim[1]; k++)
                        sum +=
                            (double)pooled[row * p->dim[1] + k] * (double)weight[c * p->dim[1] + k];
                    want[row * l->dim[1] + c] = (float)sum;
                }
            check_close(name[1], logits, want, golden_count(l), 1e-6);
        }
        golden_free(&g);
    }
}

static void batches_are_ragged_rows(void **state) {
    (void)state;
    golden_file g;
    assert_true(golden_load(FOLDER, &golden_roberta, &g));
    const golden_tensor *seq, *ids, *pos, *hidden;
    const int32_t *off = golden_i32(&g, "c0/seq_off", &seq);
    golden_i32(&g, "c0/input_ids", &ids);
    const int32_t *position = golden_i32(&g, "c0/position_ids", &pos);
    golden_f32(&g, "c0/hidden.3", &hidden);
    int rows = off[seq->dim[0] - 1];
    assert_int_equal(off[0], 0);
    assert_int_equal(ids->dim[0], rows);
    assert_int_equal(pos->dim[0], rows);
    assert_int_equal(hidden->dim[0], rows);
    /* RoBERTa counts positions from padding_idx + 1. */
    int first = (int)golden_number(&golden_roberta, "pad_token_id") + 1;
    for (int s = 0; s + 1 < seq->dim[0]; s++)
        for (int i = off[s]; i < off[s + 1]; i++) assert_int_equal(position[i], first + i - off[s]);
    golden_free(&g);
}

static void reader_reports_what_is_wrong(void **state) {
    (void)state;
    golden_file g;
    assert_false(golden_load(FOLDER "/nowhere", &golden_bert, &g));
    golden_set shorter = golden_bert;
    shorter.bytes -= 4;
    assert_false(golden_load(FOLDER, &shorter, &g));
    golden_set longer = golden_bert;
    longer.bytes += 4;
    assert_false(golden_load(FOLDER, &longer, &g));
    assert_null(golden_find(&golden_bert, "c0/nothing"));
    assert_null(golden_text(&golden_bert, "nothing"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_fill_their_files),
        cmocka_unit_test(logits_follow_from_the_head),
        cmocka_unit_test(batches_are_ragged_rows),
        cmocka_unit_test(reader_reports_what_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
