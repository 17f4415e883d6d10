/* Words to the compiler that the templates share: gcc and clang spell the unrolling of a loop
 * differently. A loop over vectors in registers must vanish, or they lie in memory (a fifth of the
 * speed of a convolution). */
#ifndef UT_KERNELS_UNROLL_H
#define UT_KERNELS_UNROLL_H

#define ALWAYS_INLINE static inline __attribute__((always_inline))
#ifdef __clang__
#define UNROLL_ALL _Pragma("clang loop unroll(full)")
#define UNROLL_4 _Pragma("clang loop unroll_count(4)")
#else
#define UNROLL_ALL _Pragma("GCC unroll 16")
#define UNROLL_4 _Pragma("GCC unroll 4")
#endif

#endif
