/* The cpu device: the reference table on host memory. */
#include "kernels/backends.h"
#include "kernels/ref/host_memory.h"
#include "kernels/ref/ref.h"

static weft_status open_cpu(wk_dev *dev) {
    (void)dev;
    return WEFT_OK;
}

static void close_cpu(wk_dev *dev) {
    (void)dev;
}

const wk_backend wk_backend_cpu = {
    .name = "cpu",
    .open = open_cpu,
    .close = close_cpu,
    .alloc = ref_host_alloc,
    .release = ref_host_release,
    .upload = ref_host_upload,
    .download = ref_host_download,
    .sync = ref_host_sync,
    .fill_ops = ref_fill_ops,
};
