/* What kernels are written in: CUDA C++ under nvcc, and the same text under a plain C++ compiler
 * for the emulator of the tests (tests/simt), where a block's threads are fibers on one OS thread.
 * Only names that need two forms stand here; everything else in a kernel is ordinary CUDA C++. PTX
 * occurs nowhere else. */
#ifndef CUDA_PORT_H
#define CUDA_PORT_H

#if defined(__CUDACC__)

#    include <cuda_bf16.h>
#    include <cuda_fp16.h>
#    include <cuda_runtime.h>
#    include <stdint.h>

typedef __nv_bfloat16 bf16;
typedef __half f16;

#    define WK_DEVICE static __device__ __forceinline__
/* __shared__ T name dims;   extern __shared__, 128-byte aligned. */
#    define WK_SHARED(T, name, dims) __shared__ T name dims
#    define WK_DYN_SHARED(T, name)                                                                 \
        extern __shared__ __align__(128) unsigned char wk_dyn_shared_[];                           \
        T *name = reinterpret_cast<T *>(wk_dyn_shared_)
/* kernel may be a template in parentheses. stream: cuda_lane.stream. */
#    define WK_LAUNCH(kernel, grid, block, smem, stream, ...)                                      \
        kernel<<<(grid), (block), (smem), (cudaStream_t)(stream)>>>(__VA_ARGS__)
/* Lets a kernel have more than 48 KiB of dynamic shared memory; call it before the launch. */
#    define WK_ALLOW_SHARED(kernel, bytes)                                                         \
        (void)cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,            \
                                   (int)(bytes))

/* Two floats as a register of two bf16, the first in the low half; one instruction, where two
 * conversions and a merge are six. */
WK_DEVICE uint32_t pack_bf16(float lo, float hi) {
    uint32_t both;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;\n" : "=r"(both) : "f"(hi), "f"(lo));
    return both;
}

/* d += a b for one warp: a 16x16 row-major, b 16x8 column-major, float sums. Lane l, g = l/4,
 * t = l%4 holds, low half first:  a[0] = a(g, 2t..), a[1] = a(g+8, 2t..), a[2] = a(g, 2t+8..),
 * a[3] = a(g+8, 2t+8..);  b[0] = b(2t.., g), b[1] = b(2t+8.., g);  d[0], d[1] = d(g, 2t..),
 * d[2], d[3] = d(g+8, 2t..).  PTX ISA, mma.m16n8k16. */
WK_DEVICE void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
                 "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};\n"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/* Four 8x8 matrices of 16-bit elements from shared memory: lane l gives the address of row l%8 of
 * matrix l/8 (16 bytes, aligned) and receives, of each matrix i, elements (l/4, 2(l%4)..) in r[i];
 * _trans: of its transpose. */
WK_DEVICE void ldmatrix_x4(uint32_t (&r)[4], const void *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];\n"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"((uint32_t)__cvta_generic_to_shared(row))
                 : "memory");
}
WK_DEVICE void ldmatrix_x4_trans(uint32_t (&r)[4], const void *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];\n"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"((uint32_t)__cvta_generic_to_shared(row))
                 : "memory");
}

/* 16 bytes to device memory, aligned, as one store; the compiler makes four of some. */
WK_DEVICE void store_global16(void *to, const uint32_t (&x)[4]) {
    asm volatile("st.global.v4.b32 [%0], {%1,%2,%3,%4};\n" ::"l"(__cvta_generic_to_global(to)),
                 "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3])
                 : "memory");
}

/* 2^x to about 2 units in the last place; 0 for -inf and where the result is subnormal. */
WK_DEVICE float exp2_approx(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;\n" : "=f"(y) : "f"(x));
    return y;
}

/* Asynchronous 16-byte copies from device to shared memory, both ends aligned. The form with
 * `valid` writes zeros, and reads nothing, when it is false. */
WK_DEVICE void cp_async16(void *dst, const void *src) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;\n" ::"r"(
                     (uint32_t)__cvta_generic_to_shared(dst)),
                 "l"(src)
                 : "memory");
}
WK_DEVICE void cp_async16(void *dst, const void *src, bool valid) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(
                     (uint32_t)__cvta_generic_to_shared(dst)),
                 "l"(src), "r"(valid ? 16 : 0)
                 : "memory");
}
WK_DEVICE void cp_async_commit() {
    asm volatile("cp.async.commit_group;\n" ::: "memory");
}
/* Waits until at most N of this thread's groups are under way. */
template <int N> WK_DEVICE void cp_async_wait() {
    asm volatile("cp.async.wait_group %0;\n" ::"n"(N) : "memory");
}

#else
#    include "simt_host.h" /* the tests' include path has it */
#endif

#endif
