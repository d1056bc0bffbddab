#include "tests/device/device.h"
#include "tests/simt/dev_simt.h"

const wk_backend *device_under_test(void) {
    return &wk_backend_simt;
}
