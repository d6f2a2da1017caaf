// Vectors of doubles as wide as the machine has them; GCC and Clang.

#ifndef ASE_SCATTER_VECTORS_HPP
#define ASE_SCATTER_VECTORS_HPP

#include <cmath>
#include <cstring>

#ifdef __FAST_MATH__
#error "compile without -ffast-math: the order of some operations matters"
#endif

namespace ase_scatter {

#if defined(__AVX512F__)
constexpr int W = 8;
#elif defined(__AVX__)
constexpr int W = 4;
#else
constexpr int W = 2;
#endif

typedef double Vec __attribute__((vector_size(8 * W)));
typedef long long Bits __attribute__((vector_size(8 * W)));

inline int padded(int n) { return (n + W - 1) / W * W; }
inline int blocks_of(int n) { return (n + W - 1) / W; }

inline Vec load(const double *from)
{
  Vec value;
  std::memcpy(&value, from, sizeof(Vec));
  return value;
}

inline void store(double *to, Vec value) { std::memcpy(to, &value, sizeof(Vec)); }

inline double sum(Vec v)
{
  double total = 0.0;
  for (int k = 0; k < W; ++k) total += v[k];
  return total;
}

// The sum of each of W vectors, in one vector.
inline Vec sums(const Vec *v)
{
#if defined(__clang__) || __GNUC__ >= 12
#if defined(__AVX512F__)
  Vec pairs[4], fours[2];
  for (int k = 0; k < 4; ++k)
    pairs[k] = __builtin_shufflevector(v[2 * k], v[2 * k + 1], 0, 8, 2, 10, 4, 12, 6, 14) +
        __builtin_shufflevector(v[2 * k], v[2 * k + 1], 1, 9, 3, 11, 5, 13, 7, 15);
  for (int k = 0; k < 2; ++k)
    fours[k] = __builtin_shufflevector(pairs[2 * k], pairs[2 * k + 1], 0, 1, 8, 9, 4, 5, 12, 13) +
        __builtin_shufflevector(pairs[2 * k], pairs[2 * k + 1], 2, 3, 10, 11, 6, 7, 14, 15);
  return __builtin_shufflevector(fours[0], fours[1], 0, 1, 2, 3, 8, 9, 10, 11) +
      __builtin_shufflevector(fours[0], fours[1], 4, 5, 6, 7, 12, 13, 14, 15);
#elif defined(__AVX__)
  Vec pairs[2];
  for (int k = 0; k < 2; ++k)
    pairs[k] = __builtin_shufflevector(v[2 * k], v[2 * k + 1], 0, 4, 2, 6) +
        __builtin_shufflevector(v[2 * k], v[2 * k + 1], 1, 5, 3, 7);
  return __builtin_shufflevector(pairs[0], pairs[1], 0, 1, 4, 5) +
      __builtin_shufflevector(pairs[0], pairs[1], 2, 3, 6, 7);
#else
  return __builtin_shufflevector(v[0], v[1], 0, 2) + __builtin_shufflevector(v[0], v[1], 1, 3);
#endif
#else
  Vec total;
  for (int k = 0; k < W; ++k) total[k] = sum(v[k]);
  return total;
#endif
}

inline Vec root(Vec v)
{
  for (int k = 0; k < W; ++k) v[k] = std::sqrt(v[k]);
  return v;
}

// e^x for x ≤ 0, to the last digit but one.
inline Vec exponential(Vec x)
{
  const double magic = 6755399441055744.0;    // 1.5·2^52: adding it rounds to a whole number
  x = x < -700.0 ? Vec{} - 700.0 : x;
  Vec shifted = x * 1.4426950408889634 + magic, n = shifted - magic;
  Vec t = x - n * 6.93147180369123816490e-01;
  t = t - n * 1.90821492927058770002e-10;
  Vec p = Vec{} + 1.0 / 6227020800.0;
  p = p * t + 1.0 / 479001600.0;
  p = p * t + 1.0 / 39916800.0;
  p = p * t + 1.0 / 3628800.0;
  p = p * t + 1.0 / 362880.0;
  p = p * t + 1.0 / 40320.0;
  p = p * t + 1.0 / 5040.0;
  p = p * t + 1.0 / 720.0;
  p = p * t + 1.0 / 120.0;
  p = p * t + 1.0 / 24.0;
  p = p * t + 1.0 / 6.0;
  p = p * t + 0.5;
  p = p * t + 1.0;
  p = p * t + 1.0;
  // The lowest bits of the rounded number are n, which is added to the exponent.
  return (Vec)((Bits) p + ((Bits) shifted << 52));
}

// The dot products of a vector with N ≤ W others; blocks follow each other at these strides.
template <int N>
inline Vec dots(const Vec *one, int stride, const Vec *rows, int row_stride, int n)
{
  Vec total[W] = {};
  for (int b = 0; b < n; ++b) {
    const Vec x = one[b * stride];
    for (int k = 0; k < N; ++k) total[k] += x * rows[b * row_stride + k];
  }
  return sums(total);
}

inline Vec dots_of(int count, const Vec *one, int stride, const Vec *rows, int row_stride, int n)
{
  switch (count) {
    case 1: return dots<1>(one, stride, rows, row_stride, n);
#if defined(__AVX__)
    case 2: return dots<2>(one, stride, rows, row_stride, n);
    case 3: return dots<3>(one, stride, rows, row_stride, n);
#if defined(__AVX512F__)
    case 4: return dots<4>(one, stride, rows, row_stride, n);
    case 5: return dots<5>(one, stride, rows, row_stride, n);
    case 6: return dots<6>(one, stride, rows, row_stride, n);
    case 7: return dots<7>(one, stride, rows, row_stride, n);
#endif
#endif
    default: return dots<W>(one, stride, rows, row_stride, n);
  }
}

}    // namespace ase_scatter

#endif
