/* The one way in which kernels use threads: a static split of independent rows, segments, sequences
 * or slots over dev->threads. Never split a reduction with it: results must not depend on the
 * number of threads. Without OpenMP the loop that follows runs as it stands. */
#ifndef WK_PARALLEL_H
#define WK_PARALLEL_H

#ifdef _OPENMP
#    define WK_PRAGMA(text) _Pragma(#    text)
#    define WK_PARALLEL_FOR(dev)                                                                   \
        WK_PRAGMA(omp parallel for num_threads((dev)->threads) schedule(static))
#else
#    define WK_PARALLEL_FOR(dev) (void)(dev);
#endif

#endif
