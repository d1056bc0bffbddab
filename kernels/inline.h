/* WK_HD: a function with one inline source for C and CUDA, so that CPU and GPU compute the same. */
#ifndef WK_INLINE_H
#define WK_INLINE_H

#if defined(__CUDACC__)
#    define WK_HD static __host__ __device__ __forceinline__
#else
#    define WK_HD static inline
#endif

#endif
