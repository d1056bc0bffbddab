/* labels: unit */
#include "host/model_summary.h"

#include "host/safetensors.h"
#include "tests/host/temp_folder.h"

/* Two layers' worth of one linear, and an integer buffer as BERT checkpoints carry it. */
static void counts_parameters_not_buffers(void **state) {
    (void)state;
    weft_error err = {0};
    float zero[6] = {0};
    int64_t position[4] = {0, 1, 2, 3};
    const wh_tensor_out tensors[] = {
        {"layer.0.dense.weight", WEFT_F32, 2, {2, 3}, zero},
        {"layer.1.dense.weight", WEFT_F32, 2, {2, 3}, zero},
        {"layer.1.dense.bias", WEFT_F32, 1, {2}, zero},
        {"position_ids", WEFT_I64, 2, {1, 4}, position},
    };
    temp_text(temp_path("config.json"), "{\"model_type\": \"bert\"}");
    check_ok(wh_safetensors_write(temp_path("model.safetensors"), tensors, 4, &err), &err);
    wh_model_folder *folder = NULL;
    wh_model_summary *s = NULL;
    check_ok(wh_model_folder_open(&folder, temp_folder, true, &err), &err);
    check_ok(wh_model_summary_build(&s, folder, &err), &err);
    assert_int_equal(s->parameters, 14);
    assert_int_equal(s->n_tensors, 3);
    assert_int_equal(s->n_linears, 1);
    assert_string_equal(s->linear[0].name, "dense");
    assert_int_equal(s->linear[0].count, 2);
    wh_model_summary_free(s);
    wh_model_folder_close(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(counts_parameters_not_buffers, temp_setup, temp_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
