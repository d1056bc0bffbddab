/* The cpu device: the process's own memory, the reference table, and on top of it the best
 * instruction set that this processor has. */
#include "kernels/backends.h"
#include "kernels/cpu/cpu.h"
#include "kernels/ref/host_memory.h"

/* Per instruction set: its GEMM and its overrides of the op table (vec_table.c). */
#define CPU_ISA(isa)                                                                               \
    extern const cpu_gemm_kernels cpu_gemm_##isa;                                                  \
    void cpu_fill_vec_##isa(wk_ops *table);
CPU_ISA(base)
#ifdef WK_X86_ISAS
CPU_ISA(v3)
CPU_ISA(v4)
#endif
#undef CPU_ISA

static const cpu_gemm_kernels *fill_best(wk_ops *table) {
#ifdef WK_X86_ISAS
    /* The features of x86-64-v4 and v3 that the compiler may use; both also need the system to save
     * the wide registers, which __builtin_cpu_supports checks. */
    __builtin_cpu_init();
    const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
    const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                    __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                    __builtin_cpu_supports("avx512vl");
    if (v4) {
        cpu_fill_vec_v4(table);
        return &cpu_gemm_v4;
    }
    if (v3) {
        cpu_fill_vec_v3(table);
        return &cpu_gemm_v3;
    }
#endif
    cpu_fill_vec_base(table);
    return &cpu_gemm_base;
}

static void fill_ops(wk_ops *table) {
    ref_fill_ops(table);
    (void)fill_best(table);
    cpu_gemm_fill(table);
    cpu_gate(table);
}

static weft_status open_cpu(wk_dev *dev) {
    if (dev->hidden != WK_F32)
        return WEFT_FAIL(&dev->ctx->err, WEFT_E_UNSUPPORTED,
                         "the cpu backend computes in float32 only; set run.dtype=f32");
    void *memory = NULL;
    WEFT_TRY(wk_host_alloc(dev->ctx, &memory, 1, sizeof(cpu_impl), "cpu device"));
    cpu_impl *impl = memory;
    dev->impl = impl;
    impl->own = fill_best(&impl->fast);
    cpu_gemm_fill(&impl->fast);
    const weft_status st = cpu_gemm_select(dev, CPU_GEMM_OWN);
    if (st != WEFT_OK) wk_host_free(dev->ctx, impl);
    return st;
}

static void close_cpu(wk_dev *dev) {
    cpu_gemm_close(dev);
    wk_host_free(dev->ctx, dev->impl);
}

const wk_backend wk_backend_cpu = {
    .abi = WK_ABI,
    .name = "cpu",
    .open = open_cpu,
    .close = close_cpu,
    .alloc = ref_host_alloc,
    .release = ref_host_release,
    .upload = ref_host_upload,
    .download = ref_host_download,
    .sync = ref_host_sync,
    .fill_ops = fill_ops,
};
