/* labels: unit */
/* Every reason why there may be no CUDA backend, and that there is one when nothing is in the way;
 * driver and plugin are stand-ins (fake/) that the environment tells what to be. */
#include "host/plugin.h"

#include "tests/check.h"

#include <stdlib.h>
#include <string.h>

#define DRIVER WEFT_FAKES "/driver/libcuda.so.1"

static const char *const settings[] = {
    "FAKE_CU_INIT",        "FAKE_CU_VERSION",     "FAKE_CU_COUNT",       "FAKE_PLUGIN_INTERFACE",
    "FAKE_PLUGIN_RUNTIME", "FAKE_PLUGIN_VERSION", "CUDA_VISIBLE_DEVICES"};

static int clean(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) (void)unsetenv(settings[i]);
    return 0;
}

static void set(const char *name, const char *value) {
    assert_int_equal(setenv(name, value, 1), 0);
}

static void expect_note(const char *folder, const char *driver, const char *note) {
    wh_plugin p;
    wh_plugin_open(&p, folder, driver);
    assert_null(p.backend);
    assert_string_equal(p.note, note);
}

static void everything_there(void **state) {
    (void)state;
    wh_plugin p;
    wh_plugin_open(&p, WEFT_FAKES "/good", DRIVER);
    assert_non_null(p.backend);
    assert_string_equal(p.note, "Fake GPU 0, 1 device, driver for CUDA 13.0, plugin for CUDA 13.0");
    /* A newer driver serves older plugins, and within a major version any serves any. */
    set("FAKE_CU_VERSION", "13000"), set("FAKE_PLUGIN_RUNTIME", "13020"), set("FAKE_CU_COUNT", "8");
    wh_plugin_open(&p, WEFT_FAKES "/good", DRIVER);
    assert_non_null(p.backend);
    assert_string_equal(p.note,
                        "Fake GPU 0, 8 devices, driver for CUDA 13.0, plugin for CUDA 13.2");
    set("FAKE_PLUGIN_RUNTIME", "12080");
    wh_plugin_open(&p, WEFT_FAKES "/good", DRIVER);
    assert_non_null(p.backend);
}

static void no_driver(void **state) {
    (void)state;
    expect_note(WEFT_FAKES "/good", "libcuda_that_is_nowhere.so.1",
                "no NVIDIA driver (libcuda_that_is_nowhere.so.1 not found)");
    expect_note(WEFT_FAKES "/good", WEFT_FAKES "/other/libweft_cuda.so",
                WEFT_FAKES "/other/libweft_cuda.so is not an NVIDIA driver");
    /* One that lacks a library of its own. */
    wh_plugin p;
    wh_plugin_open(&p, WEFT_FAKES "/good", WEFT_FAKES "/needy/libweft_cuda.so");
    assert_null(p.backend);
    assert_non_null(strstr(p.note, "no NVIDIA driver (libfake_library.so: cannot open"));
}

static void no_device(void **state) {
    (void)state;
    set("FAKE_CU_INIT", "100");
    expect_note(WEFT_FAKES "/good", DRIVER, "no device visible");
    set("CUDA_VISIBLE_DEVICES", "");
    expect_note(WEFT_FAKES "/good", DRIVER, "no device visible (CUDA_VISIBLE_DEVICES=)");
    set("FAKE_CU_INIT", "0"), set("FAKE_CU_COUNT", "0"), set("CUDA_VISIBLE_DEVICES", "7");
    expect_note(WEFT_FAKES "/good", DRIVER, "no device visible (CUDA_VISIBLE_DEVICES=7)");
}

static void driver_fails(void **state) {
    (void)state;
    set("FAKE_CU_INIT", "802");
    expect_note(WEFT_FAKES "/good", DRIVER,
                "the NVIDIA driver fails: error 802 (CUDA_ERROR_SYSTEM_NOT_READY)");
    set("FAKE_CU_INIT", "12345");
    expect_note(WEFT_FAKES "/good", DRIVER, "the NVIDIA driver fails: error 12345 (unknown)");
    set("FAKE_CU_INIT", "34");
    expect_note(WEFT_FAKES "/good", DRIVER,
                "the NVIDIA driver fails: error 34 (it is the toolkit's stub; take its folder out "
                "of LD_LIBRARY_PATH)");
}

static void no_plugin(void **state) {
    (void)state;
    expect_note(WEFT_FAKES "/none", DRIVER,
                "the CUDA plugin was not built (libweft_cuda.so is not beside the program)");
    expect_note(WEFT_FAKES "/other", DRIVER,
                WEFT_FAKES "/other/libweft_cuda.so is not a plugin of Weft");
}

static void libraries_missing(void **state) {
    (void)state;
    expect_note(WEFT_FAKES "/needy", DRIVER,
                "CUDA libraries missing: libfake_library.so: cannot open shared object file: No "
                "such file or directory; install them or name their folder in LD_LIBRARY_PATH");
}

static void another_build(void **state) {
    (void)state;
    char want[400];
    set("FAKE_PLUGIN_INTERFACE", "77");
    (void)snprintf(want, sizeof want,
                   "libweft_cuda.so is of another build: Weft %s, interface 77; this program is "
                   "%s, interface %u; install both from one build",
                   WEFT_VERSION, WEFT_VERSION, (unsigned)weft_backend_interface());
    expect_note(WEFT_FAKES "/good", DRIVER, want);
    (void)unsetenv("FAKE_PLUGIN_INTERFACE");
    set("FAKE_PLUGIN_VERSION", "0.0.9");
    (void)snprintf(want, sizeof want,
                   "libweft_cuda.so is of another build: Weft 0.0.9, interface %u; this program is "
                   "%s, interface %u; install both from one build",
                   (unsigned)weft_backend_interface(), WEFT_VERSION,
                   (unsigned)weft_backend_interface());
    expect_note(WEFT_FAKES "/good", DRIVER, want);
}

static void old_driver(void **state) {
    (void)state;
    set("FAKE_CU_VERSION", "12040");
    expect_note(WEFT_FAKES "/good", DRIVER,
                "the NVIDIA driver supports CUDA 12.4, the plugin needs 13.0: update the driver or "
                "build Weft with a toolkit of CUDA 12");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(everything_there, clean),
        cmocka_unit_test_setup(no_driver, clean),
        cmocka_unit_test_setup(no_device, clean),
        cmocka_unit_test_setup(driver_fails, clean),
        cmocka_unit_test_setup(no_plugin, clean),
        cmocka_unit_test_setup(libraries_missing, clean),
        cmocka_unit_test_setup(another_build, clean),
        cmocka_unit_test_setup(old_driver, clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
