/* What the kernels share: planes are row by row, float; "padded by n" has n more samples on every side. */

#ifndef VFI_FLOW_H
#define VFI_FLOW_H

#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* One copy of a kernel for each generation of processors; the loader takes the one that fits. */
#if defined(__GLIBC__) && defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 11
#define KERNEL __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define KERNEL
#endif
#define INLINE static inline __attribute__((always_inline))

typedef float *restrict Out;
typedef const float *restrict In;

INLINE int least(int a, int b) { return a < b ? a : b; }
INLINE int most(int a, int b) { return a > b ? a : b; }
INLINE float clamped(float x, float low, float high) { return x < low ? low : x > high ? high : x; }

/* Fill what a plane of h x w is padded by with its outermost samples. */
INLINE void repeat_border(float *plane, int h, int w, int n)
{
    int wide = w + 2 * n;
    for (int y = n; y < h + n; y++) {
        float *row = plane + (size_t)y * wide;
        for (int k = 0; k < n; k++) {
            row[k] = row[n];
            row[w + n + k] = row[w + n - 1];
        }
    }
    for (int k = 0; k < n; k++) {
        memcpy(plane + (size_t)k * wide, plane + (size_t)n * wide, wide * sizeof(float));
        memcpy(plane + (size_t)(h + n + k) * wide, plane + (size_t)(h + n - 1) * wide, wide * sizeof(float));
    }
}

/* Sums over squares of 2n + 1 px (n is 1 or 2) for `count` px of a row, in a plane with rows `wide` apart: `corner` is n px
   left of and above the first. `column` has count + 2n. */
INLINE void sum_row(In corner, int wide, int count, int n, Out column, Out out)
{
    In a = corner, b = a + wide, c = b + wide, d = c + wide, e = d + wide;
    if (n == 1) {
        for (int x = 0; x < count + 2; x++)
            column[x] = a[x] + b[x] + c[x];
        for (int x = 0; x < count; x++)
            out[x] = column[x] + column[x + 1] + column[x + 2];
    } else {
        for (int x = 0; x < count + 4; x++)
            column[x] = a[x] + b[x] + c[x] + d[x] + e[x];
        for (int x = 0; x < count; x++)
            out[x] = column[x] + column[x + 1] + column[x + 2] + column[x + 3] + column[x + 4];
    }
}

/* Where origin + unit * shift lies among `size` samples, border repeated: sample number (the last but one at most)
   and the rest, in [0, 1]. */
INLINE void place(In shift, float unit, float origin, float step, int size, int w, int *restrict at, Out part)
{
    float last = (float)(size - 1);
    int end = most(size - 2, 0);
    for (int x = 0; x < w; x++) {
        float p = clamped(origin + step * (float)x + unit * shift[x], 0.0f, last);
        int k = least((int)p, end);
        at[x] = k;
        part[x] = p - (float)k;
    }
}

/* Room for `warp_row` on rows of w px: 2 w ints and 2 w floats. */
typedef struct {
    int *x, *y;
    float *ax, *ay;
} Places;

/* A place among samples of rows `below` apart: bilinear from the sample at p, its right one and those below. */
INLINE float bilinear(In p, int right, int below, float ax, float ay)
{
    float top = p[0] + ax * (p[right] - p[0]), bottom = p[below] + ax * (p[below + right] - p[below]);
    return top + ay * (bottom - top);
}

/* n samples of a plane of h x w with rows `wide` apart, each that many samples from its first one and the rest further: see
   `place`. */
INLINE void bilinear_row(In plane, int h, int w, int wide, const int *restrict from, In ax, In ay, int n, Out out)
{
    int right = w > 1, below = h > 1 ? wide : 0, x = 0;
#ifdef __SSE2__ /* four at a time, a pair of samples by each load */
    for (; right && x < n - 3; x += 4) {
        __m128 pairs[4], rows[2], across = _mm_loadu_ps(ax + x), none = _mm_setzero_ps();
        for (int k = 0; k < 2; k++) {
            for (int i = 0; i < 2; i++) {
                const float *a = plane + from[x + 2 * i] + k * below, *b = plane + from[x + 2 * i + 1] + k * below;
                pairs[i] = _mm_loadh_pi(_mm_loadl_pi(none, (const __m64 *)a), (const __m64 *)b);
            }
            __m128 here = _mm_shuffle_ps(pairs[0], pairs[1], _MM_SHUFFLE(2, 0, 2, 0));
            __m128 next = _mm_shuffle_ps(pairs[0], pairs[1], _MM_SHUFFLE(3, 1, 3, 1));
            rows[k] = here + across * (next - here);
        }
        _mm_storeu_ps(out + x, rows[0] + _mm_loadu_ps(ay + x) * (rows[1] - rows[0]));
    }
#endif
    for (; x < n; x++)
        out[x] = bilinear(plane + from[x], right, below, ax[x], ay[x]);
}

/* n px from (x, y) on of a plane of h x w with rows `wide` apart, warped bilinearly by their flow times `unit`. */
INLINE void warp_row(In plane, int h, int w, int wide, int x0, int y, In fx, In fy, const float *unit, int n, Places at,
                     Out out)
{
    place(fx, unit[0], (float)x0, 1.0f, w, n, at.x, at.ax);
    place(fy, unit[1], (float)y, 0.0f, h, n, at.y, at.ay);
    for (int x = 0; x < n; x++)
        at.y[x] = at.y[x] * wide + at.x[x];
    bilinear_row(plane, h, w, wide, at.y, at.ax, at.ay, n, out);
}

/* Marks in `out` (h, w) what is marked in `in`, or beside it. */
INLINE void spread(const uint8_t *in, int h, int w, uint8_t *restrict out)
{
    for (int y = 0; y < h; y++) {
        const uint8_t *restrict above = in + (size_t)most(y - 1, 0) * w, *restrict here = in + (size_t)y * w;
        const uint8_t *restrict below = in + (size_t)least(y + 1, h - 1) * w;
        uint8_t *restrict to = out + (size_t)y * w;
        for (int x = 0; x < w; x++)
            to[x] = above[x] | here[x] | below[x];
        for (int x = 1; x < w; x++)
            to[x] |= above[x - 1] | here[x - 1] | below[x - 1];
        for (int x = 0; x < w - 1; x++)
            to[x] |= above[x + 1] | here[x + 1] | below[x + 1];
    }
}

#endif
