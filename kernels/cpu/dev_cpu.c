/* The cpu device: the process's own memory, the reference table, and on top of it the best
 * instruction set that this processor has. */
#include "kernels/backends.h"
#include "kernels/cpu/cpu.h"
#include "kernels/ref/host_memory.h"

#include <string.h>

/* Per instruction set: its GEMM, its overrides of the op table (vec_table.c) and whether the
 * processor has it; the worst first. */
typedef struct cpu_isa {
    const cpu_gemm_kernels *gemm;
    void (*fill)(wk_ops *table);
    bool (*here)(void);
} cpu_isa;

static bool has_base(void) {
    return true;
}

#ifdef WK_X86_ISAS
/* The features of x86-64-v3 and v4 that the compiler may use; both also need the system to save
 * the wide registers, which __builtin_cpu_supports checks. */
static bool has_v3(void) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
}

static bool has_v4(void) {
    return has_v3() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
}

static bool has_v4bf16(void) {
    return has_v4() && __builtin_cpu_supports("avx512bf16");
}
#    define CPU_ISAS(X) X(base) X(v3) X(v4) X(v4bf16)
#else
#    define CPU_ISAS(X) X(base)
#endif

#define X(isa)                                                                                     \
    extern const cpu_gemm_kernels cpu_gemm_##isa;                                                  \
    void cpu_fill_vec_##isa(wk_ops *table);
CPU_ISAS(X)
#undef X

static const cpu_isa isas[] = {
#define X(isa) {&cpu_gemm_##isa, cpu_fill_vec_##isa, has_##isa},
    CPU_ISAS(X)
#undef X
};

/* The best that the processor has or, with a name, that one; NULL: it has none of that name. */
static const cpu_isa *find_isa(const char *name) {
#ifdef WK_X86_ISAS
    __builtin_cpu_init();
#endif
    for (size_t i = sizeof isas / sizeof *isas; i-- > 0;)
        if ((!name || strcmp(name, isas[i].gemm->isa) == 0) && isas[i].here()) return &isas[i];
    return NULL;
}

static void fill_ops(wk_ops *table) {
    ref_fill_ops(table);
    find_isa(NULL)->fill(table);
    cpu_gemm_fill(table);
}

weft_status cpu_isa_select(wk_dev *dev, const char *name) {
    const cpu_isa *isa = find_isa(name);
    if (!isa)
        return WEFT_FAIL(&dev->ctx->err, WEFT_E_UNSUPPORTED,
                         "this processor or build has no instruction set \"%s\"", name);
    cpu_impl *impl = dev->impl;
    isa->fill(&dev->ops);
    impl->own = isa->gemm;
    return cpu_gemm_select(dev, CPU_GEMM_OWN);
}

static weft_status open_cpu(wk_dev *dev) {
    void *memory = NULL;
    WEFT_TRY(wk_host_alloc(dev->ctx, &memory, 1, sizeof(cpu_impl), "cpu device"));
    dev->impl = memory;
    const weft_status st = cpu_isa_select(dev, NULL);
    if (st != WEFT_OK) wk_host_free(dev->ctx, memory);
    return st;
}

static void close_cpu(wk_dev *dev) {
    cpu_gemm_close(dev);
    wk_host_free(dev->ctx, dev->impl);
}

const wk_backend wk_backend_cpu = {
    .abi = WK_ABI,
    .name = "cpu",
    .traits = WK_TRAIT_SCATTERS,
    .open = open_cpu,
    .close = close_cpu,
    .alloc = ref_host_alloc,
    .release = ref_host_release,
    .upload = ref_host_upload,
    .download = ref_host_download,
    .sync = ref_host_sync,
    .fill_ops = fill_ops,
};
