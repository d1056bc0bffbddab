/* labels: unit */
#include "host/safetensors.h"

#include "host/atomic_file.h"
#include "tests/host/temp_folder.h"

#include <errno.h>

static weft_error err;

/* A file from its parts; the header length is that of the text unless `length` says otherwise. */
static void make_file(const char *path, const char *header, int64_t length, size_t data_bytes) {
    unsigned char bytes[4096] = {0};
    size_t n = strlen(header);
    uint64_t said = length >= 0 ? (uint64_t)length : n;
    for (int i = 0; i < 8; i++) bytes[i] = (unsigned char)(said >> (8 * i));
    memcpy(bytes + 8, header, n);
    for (size_t i = 0; i < data_bytes; i++) bytes[8 + n + i] = (unsigned char)i;
    temp_write(path, bytes, 8 + n + data_bytes);
}

/* What `safetensors.numpy.save` of safetensors 0.8 makes of these tensors with metadata
 * {"format":"pt"}. */
static const char reference_header[] =
    "{\"__metadata__\":{\"format\":\"pt\"},\"z\":{\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":"
    "[0,8]},\"a\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[8,24]},\"b\":{\"dtype\":"
    "\"F32\","
    "\"shape\":[3],\"data_offsets\":[24,36]},\"h\":{\"dtype\":\"F16\",\"shape\":[],\"data_"
    "offsets\":"
    "[36,38]}}";

static void write_reference(const char *path) {
    static const float a[] = {1, 2, 3, 4}, b[] = {5, 6, 7};
    static const double z[] = {0.5};
    static const uint16_t h[] = {0x3c00};
    const wh_tensor_out tensors[] = {
        {.name = "b", .dtype = WEFT_F32, .ndim = 1, .dim = {3}, .data = b},
        {.name = "h", .dtype = WEFT_F16, .ndim = 0, .data = h},
        {.name = "a", .dtype = WEFT_F32, .ndim = 2, .dim = {2, 2}, .data = a},
        {.name = "z", .dtype = WEFT_F64, .ndim = 1, .dim = {1}, .data = z},
    };
    check_ok(wh_safetensors_write(path, tensors, 4, &err), &err);
}

static void test_writes_as_the_reference_does(void **state) {
    (void)state;
    size_t bytes = 0, header = sizeof reference_header - 1, padded = (header + 7) / 8 * 8;
    write_reference(temp_path("t"));
    unsigned char *data = (unsigned char *)temp_read(temp_path("t"), &bytes);
    assert_int_equal(bytes, 8 + padded + 38);
    assert_int_equal(data[0] + 256 * data[1], padded);
    assert_memory_equal(data + 8, reference_header, header);
    for (size_t i = header; i < padded; i++) assert_int_equal(data[8 + i], ' ');
    free(data);
}

static void test_reads_back(void **state) {
    (void)state;
    wh_safetensors *f = NULL;
    write_reference(temp_path("t"));
    check_ok(wh_safetensors_open(&f, temp_path("t"), &err), &err);
    assert_int_equal(wh_safetensors_count(f), 4);
    assert_string_equal(wh_safetensors_at(f, 0)->name, "a");
    assert_string_equal(wh_safetensors_at(f, 3)->name, "z");
    assert_null(wh_safetensors_at(f, 4));
    assert_null(wh_safetensors_find(f, "c"));
    const wh_tensor_info *a = wh_safetensors_find(f, "a");
    assert_int_equal(a->ndim, 2);
    assert_int_equal(a->dim[1], 2);
    float out[4];
    const float want[] = {1, 2, 3, 4}, half = 0.5f, one = 1;
    check_ok(wh_safetensors_floats(f, a, out, &err), &err);
    check_same("a", out, want, sizeof want);
    check_ok(wh_safetensors_floats(f, wh_safetensors_find(f, "z"), out, &err), &err);
    check_same("z", out, &half, sizeof half);
    check_ok(wh_safetensors_floats(f, wh_safetensors_find(f, "h"), out, &err), &err);
    check_same("h", out, &one, sizeof one);
    wh_safetensors_close(f);
}

/* IEEE 754: 0x3555 = 0.333251953125, 0x0001 = 2^-24, 0x03ff the largest subnormal, 0x7c00 inf,
 * 0x7bff 65504; bfloat16 0x3eab = 0.333984375. */
static void test_converts_16_bit_floats(void **state) {
    (void)state;
    const uint16_t h[] = {0x3555, 0x0001, 0x03ff, 0x7c00, 0xfbff, 0x8000}, b[] = {0x3eab, 0xff80};
    const wh_tensor_out tensors[] = {
        {.name = "b", .dtype = WEFT_BF16, .ndim = 1, .dim = {2}, .data = b},
        {.name = "h", .dtype = WEFT_F16, .ndim = 1, .dim = {6}, .data = h},
        {.name = "i", .dtype = WEFT_U8, .ndim = 1, .dim = {2}, .data = b},
    };
    check_ok(wh_safetensors_write(temp_path("t"), tensors, 3, &err), &err);
    wh_safetensors *f = NULL;
    check_ok(wh_safetensors_open(&f, temp_path("t"), &err), &err);
    float out[6];
    const float inf = (float)(1e30 * 1e30);
    const float want_h[] = {0.333251953125f, 0x1p-24f, 0x1.ff8p-15f, inf, -65504.0f, -0.0f};
    const float want_b[] = {0.333984375f, -inf};
    check_ok(wh_safetensors_floats(f, wh_safetensors_find(f, "h"), out, &err), &err);
    check_same("f16", out, want_h, sizeof want_h);
    check_ok(wh_safetensors_floats(f, wh_safetensors_find(f, "b"), out, &err), &err);
    check_same("bf16", out, want_b, sizeof want_b);
    check_fails(wh_safetensors_floats(f, wh_safetensors_find(f, "i"), out, &err), WEFT_E_DATA, &err,
                "i has dtype U8");
    wh_safetensors_close(f);
}

static void test_truncated_anywhere(void **state) {
    (void)state;
    size_t bytes = 0;
    write_reference(temp_path("t"));
    char *data = temp_read(temp_path("t"), &bytes);
    for (size_t n = 0; n < bytes; n++) {
        wh_safetensors *f = NULL;
        temp_write(temp_path("cut"), data, n);
        check_fails(wh_safetensors_open(&f, temp_path("cut"), &err), WEFT_E_DATA, &err, "/cut");
        assert_null(f);
    }
    temp_write(temp_path("long"), data, bytes + 1); /* the NUL after it */
    wh_safetensors *f = NULL;
    check_fails(wh_safetensors_open(&f, temp_path("long"), &err), WEFT_E_DATA, &err,
                "38 bytes of data");
    free(data);
}

/* Every single-byte change either opens or is one clean error; under ASan this is a small fuzzer.
 */
static void test_any_byte_changed(void **state) {
    (void)state;
    static const unsigned char values[] = {0x00, 0xff, '{', '"', '9', ',', '-', ' '};
    size_t bytes = 0;
    write_reference(temp_path("t"));
    char *data = temp_read(temp_path("t"), &bytes);
    for (size_t i = 0; i < bytes - 38; i++)
        for (size_t v = 0; v < sizeof values; v++) {
            char old = data[i];
            wh_safetensors *f = NULL;
            data[i] = (char)values[v];
            temp_write(temp_path("m"), data, bytes);
            data[i] = old;
            if (wh_safetensors_open(&f, temp_path("m"), &err) != WEFT_OK) {
                assert_int_equal(err.status, WEFT_E_DATA);
                continue;
            }
            for (size_t t = 0; t < wh_safetensors_count(f); t++) {
                float out[64];
                weft_status st = wh_safetensors_floats(f, wh_safetensors_at(f, t), out, &err);
                assert_true(st == WEFT_OK || st == WEFT_E_DATA);
            }
            wh_safetensors_close(f);
        }
    free(data);
}

static void test_bad_headers(void **state) {
    (void)state;
    static const struct {
        const char *header, *message;
        int64_t length;
        size_t data;
    } cases[] = {
        {"{}", "header length", 100000001, 0},
        {"{}", "header length", INT64_MAX, 0},
        {"{}", "needs 3 bytes", 3, 0},
        {"[]", "not a JSON object", -1, 0},
        {"{\"a\":", "not valid JSON", -1, 0},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
         "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
         "duplicate", -1, 4},
        {"{\"a\":1}", "no dtype", -1, 0},
        {"{\"a\":{\"dtype\":\"F33\",\"shape\":[1],\"data_offsets\":[0,4]}}", "unknown dtype F33",
         -1, 4},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":2,\"data_offsets\":[0,4]}}", "needs a shape", -1, 4},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}",
         "at most 8 dimensions", -1, 4},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", "impossible shape",
         -1, 4},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1.5],\"data_offsets\":[0,4]}}", "impossible shape",
         -1, 4},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4611686018427387904],"
         "\"data_offsets\":[0,0]}}",
         "impossible shape", -1, 0},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", "two data_offsets", -1, 4},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", "two data_offsets", -1,
         4},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", "bytes 4 to 0", -1, 4},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", "cut or damaged", -1,
         4},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", "needs 8 bytes", -1,
         4},
        {"{\"a\":{\"dtype\":\"F4\",\"shape\":[1],\"data_offsets\":[0,1]}}", "needs 0 bytes", -1, 1},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
         "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
         "they overlap", -1, 8},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
         "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[8,12]}}",
         "there is a gap", -1, 12},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", "the file has 8", -1,
         8},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        wh_safetensors *f = NULL;
        make_file(temp_path("bad"), cases[i].header, cases[i].length, cases[i].data);
        check_fails(wh_safetensors_open(&f, temp_path("bad"), &err), WEFT_E_DATA, &err,
                    cases[i].message);
    }
    wh_safetensors *f = NULL;
    temp_text(temp_path("lfs"), "version https://git-lfs.github.com/spec/v1\noid sha256:0\n");
    check_fails(wh_safetensors_open(&f, temp_path("lfs"), &err), WEFT_E_DATA, &err, "git lfs pull");
    check_fails(wh_safetensors_open(&f, temp_path("none"), &err), WEFT_E_DATA, &err,
                "No such file");
    check_fails(wh_safetensors_open(&f, temp_folder, &err), WEFT_E_DATA, &err, "regular file");
}

static void test_odd_but_good_files(void **state) {
    (void)state;
    wh_safetensors *f = NULL;
    make_file(temp_path("none"), "{}", -1, 0);
    check_ok(wh_safetensors_open(&f, temp_path("none"), &err), &err);
    assert_int_equal(wh_safetensors_count(f), 0);
    wh_safetensors_close(f);
    /* empty tensors share their place; an unknown-to-us dtype is an error only when it is read; a
     * header of odd length misaligns what follows */
    make_file(temp_path("odd"),
              "{\"e\":{\"dtype\":\"F32\",\"shape\":[0,3],\"data_offsets\":[0,0]},"
              "\"x\":{\"dtype\":\"BOOL\",\"shape\":[1],\"data_offsets\":[0,1]},"
              "\"f\":{\"dtype\":\"I32\",\"shape\":[1],\"data_offsets\":[1,5]}} ",
              -1, 5);
    check_ok(wh_safetensors_open(&f, temp_path("odd"), &err), &err);
    const void *data = NULL, *again = NULL;
    check_fails(wh_safetensors_data(f, wh_safetensors_find(f, "x"), &data, &err), WEFT_E_DATA, &err,
                "dtype BOOL");
    check_ok(wh_safetensors_data(f, wh_safetensors_find(f, "e"), &data, &err), &err);
    check_ok(wh_safetensors_data(f, wh_safetensors_find(f, "f"), &data, &err), &err);
    assert_int_equal((uintptr_t)data % 4, 0);
    const int32_t want = 0x04030201;
    assert_memory_equal(data, &want, 4);
    check_ok(wh_safetensors_data(f, wh_safetensors_find(f, "f"), &again, &err), &err);
    assert_ptr_equal(data, again);
    wh_safetensors_close(f);
}

static void test_write_failures(void **state) {
    (void)state;
    static const float one[] = {1};
    const double two[] = {2};
    const wh_tensor_out twins[] = {
        {.name = "a", .dtype = WEFT_F32, .ndim = 1, .dim = {1}, .data = one},
        {.name = "b", .dtype = WEFT_F32, .ndim = 1, .dim = {1}, .data = one},
        {.name = "a", .dtype = WEFT_F64, .ndim = 1, .dim = {1}, .data = two},
    };
    check_fails(wh_safetensors_write(temp_path("t"), twins, 3, &err), WEFT_E_ARG, &err, "named a");
    for (int i = 1; i <= 10; i++) { /* open, 4 writes, sync, close, rename, then the folder */
        wh_file_fault(i, ENOSPC);
        weft_status st = wh_safetensors_write(temp_path("t"), twins, 2, &err);
        wh_file_fault(0, 0);
        check_fails(st, WEFT_E_OUTPUT, &err, "No space left");
        assert_int_equal(temp_count(temp_folder), i <= 8 ? 0 : 1);
        (void)unlink(temp_path("t"));
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, temp_setup, temp_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_writes_as_the_reference_does),
        TEST(test_reads_back),
        TEST(test_converts_16_bit_floats),
        TEST(test_truncated_anywhere),
        TEST(test_any_byte_changed),
        TEST(test_bad_headers),
        TEST(test_odd_but_good_files),
        TEST(test_write_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
