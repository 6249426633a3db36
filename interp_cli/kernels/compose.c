/* Composing a frame on its planes, and the copies of twice the size that it is composed from: see engine/planes.py. */

#include "flow.h"

typedef float Four __attribute__((vector_size(16)));

/* Doubled planes are kept in half the memory: FINE_UNITS to the largest code value, and as much again beyond it. */
typedef int16_t Fine;
typedef Fine FineFour __attribute__((vector_size(8)));
typedef int32_t WholeFour __attribute__((vector_size(16)));
#define FINE_UNITS 16000.0f

/* Memory for one row of w px. */
typedef struct {
    float *rows[5], *narrow;
    int *x0, *y0, *x1, *y1;
    float *ax0, *ay0, *ax1, *ay1, *early, *late;
} Line;

/* n samples of a row of `plane` (h rows of w samples, `stride` apart), or of what it would be at twice its size, where it
   has at least n / 2. */
INLINE const float *row_of(In plane, int h, int w, size_t stride, int y, int pitch, int n, Out narrow, Out out)
{
    if (pitch == 1)
        return plane + (size_t)y * stride;
    int here = least(y / 2, h - 1), other = most(least(here + (y % 2 ? 1 : -1), h - 1), 0);
    In a = plane + (size_t)here * stride, b = plane + (size_t)other * stride;
    for (int x = 0; x < w; x++)
        narrow[x] = 0.75f * a[x] + 0.25f * b[x];
    narrow[w] = narrow[w - 1];
    out[0] = narrow[0];
    for (int x = 0; x < (n - 1) / 2; x++) {
        out[2 * x + 1] = 0.75f * narrow[x] + 0.25f * narrow[x + 1];
        out[2 * x + 2] = 0.25f * narrow[x] + 0.75f * narrow[x + 1];
    }
    if (n % 2 == 0)
        out[n - 1] = 0.75f * narrow[n / 2 - 1] + 0.25f * narrow[n / 2];
    return out;
}

/* Weights of the four samples around a place that lies t after the second: cubic convolution with a = -0.75. */
INLINE Four cubic(float t)
{
    static const Four c1 = {-0.75f, 0.0f, 0.75f, 0.0f}, c2 = {1.5f, -2.25f, 1.5f, -0.75f};
    static const Four c3 = {-0.75f, 1.25f, -1.25f, 0.75f}, c0 = {0.0f, 1.0f, 0.0f, 0.0f};
    return ((c3 * t + c2) * t + c1) * t + c0;
}

INLINE Four four(const float *p)
{
    Four v;
    memcpy(&v, p, sizeof v);
    return v;
}

INLINE Four four_fine(const Fine *p)
{
    FineFour v;
    memcpy(&v, p, sizeof v);
    return __builtin_convertvector(__builtin_convertvector(v, WholeFour), Four);
}

/* The sample of a plane of h x w at (x + ax, y + ay), of floats or of a doubled plane. */
#define BICUBIC(name, Sample, load)                                                                                   \
    INLINE float name(const Sample *restrict plane, int h, int w, int x, int y, float ax, float ay)                   \
    {                                                                                                                  \
        Four across = cubic(ax), down = cubic(ay), sum = {0.0f, 0.0f, 0.0f, 0.0f};                                     \
        if (x >= 1 && y >= 1 && x < w - 2 && y < h - 2) {                                                              \
            const Sample *restrict p = plane + (size_t)(y - 1) * w + x - 1;                                            \
            sum = load(p) * down[0] + load(p + w) * down[1];                                                           \
            sum += load(p + 2 * (size_t)w) * down[2] + load(p + 3 * (size_t)w) * down[3];                              \
        } else                                                                                                         \
            for (int j = 0; j < 4; j++) {                                                                              \
                const Sample *restrict p = plane + (size_t)most(least(y - 1 + j, h - 1), 0) * w;                       \
                for (int i = 0; i < 4; i++)                                                                            \
                    sum[i] += down[j] * p[most(least(x - 1 + i, w - 1), 0)];                                           \
            }                                                                                                          \
        sum *= across;                                                                                                 \
        return (sum[0] + sum[1]) + (sum[2] + sum[3]);                                                                  \
    }
BICUBIC(bicubic, float, four)
BICUBIC(bicubic_fine, Fine, four_fine)

INLINE float bilinear(In plane, int h, int w, int x, int y, float ax, float ay)
{
    int right = w > 1, below = h > 1 ? w : 0;
    In p = plane + (size_t)y * w + x;
    float top = p[0] + ax * (p[right] - p[0]), bottom = p[below] + ax * (p[below + right] - p[below]);
    return top + ay * (bottom - top);
}

/* Composes `channels` planes of h x w from those of both frames, one after the other: floats, or, where `peak` (the
   largest code value) is not 0, doubled ones.

   flow: four planes of fh x fw, rows and planes `stride` apart, `pitch` (1 or 2) px of the result between samples; times
   `unit` (x, y) in px of the result. mask: one weight for all, or one per px (mask_stride: of its rows, 0 if one for all).
   apart, unless NULL, gets the differences of the warped planes. 0, or 1 without memory. */
KERNEL int vfi_compose(const void *a, const void *b, int channels, int h, int w, float peak, int cubical, In flow, int fh, int fw,
                       const int64_t *stride, int pitch, const float *unit, In mask, int64_t mask_stride, Out out,
                       Out apart)
{
    int finer = peak > 0 ? 2 : 1;
    float scale = peak > 0 ? peak / FINE_UNITS : 1.0f;
    size_t wide = ((size_t)most(w, fw) + 17) / 16 * 16, hf = (size_t)h * finer, wf = (size_t)w * finer;
    float *memory = malloc(16 * wide * sizeof(float));
    if (!memory)
        return 1;
    Line l = {.narrow = memory + 4 * wide, .early = memory + 5 * wide, .late = memory + 6 * wide};
    l.ax0 = memory + 7 * wide, l.ay0 = memory + 8 * wide, l.ax1 = memory + 9 * wide, l.ay1 = memory + 10 * wide;
    l.x0 = (int *)(memory + 11 * wide), l.y0 = (int *)(memory + 12 * wide);
    l.x1 = (int *)(memory + 13 * wide), l.y1 = (int *)(memory + 14 * wide);
    float ux = unit[0] * finer, uy = unit[1] * finer;
    for (int y = 0; y < h; y++) {
        In f[4];
        for (int k = 0; k < 4; k++)
            f[k] = row_of(flow + k * stride[0], fh, fw, stride[1], y, pitch, w, l.narrow, memory + k * wide);
        place(f[0], ux, 0.0f, (float)finer, (int)wf, w, l.x0, l.ax0);
        place(f[1], uy, (float)(y * finer), 0.0f, (int)hf, w, l.y0, l.ay0);
        place(f[2], ux, 0.0f, (float)finer, (int)wf, w, l.x1, l.ax1);
        place(f[3], uy, (float)(y * finer), 0.0f, (int)hf, w, l.y1, l.ay1);
        for (int c = 0; c < channels; c++) {
            size_t from = c * hf * wf;
            Out o = out + ((size_t)c * h + y) * w, early = l.early, late = l.late;
            if (peak > 0) {
                const Fine *p = (const Fine *)a + from, *q = (const Fine *)b + from;
                for (int x = 0; x < w; x++) {
                    early[x] = scale * bicubic_fine(p, (int)hf, (int)wf, l.x0[x], l.y0[x], l.ax0[x], l.ay0[x]);
                    late[x] = scale * bicubic_fine(q, (int)hf, (int)wf, l.x1[x], l.y1[x], l.ax1[x], l.ay1[x]);
                }
            } else if (cubical) {
                In p = (const float *)a + from, q = (const float *)b + from;
                for (int x = 0; x < w; x++) {
                    early[x] = bicubic(p, (int)hf, (int)wf, l.x0[x], l.y0[x], l.ax0[x], l.ay0[x]);
                    late[x] = bicubic(q, (int)hf, (int)wf, l.x1[x], l.y1[x], l.ax1[x], l.ay1[x]);
                }
            } else {
                In p = (const float *)a + from, q = (const float *)b + from;
                for (int x = 0; x < w; x++) {
                    early[x] = bilinear(p, (int)hf, (int)wf, l.x0[x], l.y0[x], l.ax0[x], l.ay0[x]);
                    late[x] = bilinear(q, (int)hf, (int)wf, l.x1[x], l.y1[x], l.ax1[x], l.ay1[x]);
                }
            }
            if (mask_stride) {
                In m = mask + y * mask_stride;
                for (int x = 0; x < w; x++)
                    o[x] = late[x] + m[x] * (early[x] - late[x]);
            } else {
                float m = mask[0];
                for (int x = 0; x < w; x++)
                    o[x] = late[x] + m * (early[x] - late[x]);
            }
            if (apart) {
                Out d = apart + ((size_t)c * h + y) * w;
                for (int x = 0; x < w; x++)
                    d[x] = early[x] - late[x];
            }
        }
    }
    free(memory);
    return 0;
}

#define REACH 4 /* samples on either side that a new one is made of */

INLINE void put(Fine *to, In from, size_t n, float scale)
{
    for (size_t x = 0; x < n; x++)
        to[x] = (Fine)lrintf(clamped(from[x] * scale, -32767.0f, 32767.0f));
}

/* `planes` planes of h x w with a sample between every two, (planes, 2h, 2w): `weights` are those of the samples 1/2, 3/2,
   ... px away, on either side. 0, or 1 without memory. */
KERNEL int vfi_double(In plane, int planes, int h, int w, In weights, float peak, Fine *out)
{
    size_t wide = 2 * (size_t)w;
    float *memory = malloc(((size_t)w + 2 * REACH + (2 * REACH + 1) * wide) * sizeof(float));
    if (!memory)
        return 1;
    float *padded = memory, *between = memory + w + 2 * REACH, *rows = between + wide, scale = FINE_UNITS / peak;
    for (int k = 0; k < planes; k++) {
        Fine *to = out + (size_t)k * 4 * h * w;
        int ready = 0;
        for (int y = 0; y < h; y++) {
            for (; ready <= least(y + REACH, h - 1); ready++) {
                In p = plane + ((size_t)k * h + ready) * w;
                Out row = rows + (ready % (2 * REACH)) * wide;
                memcpy(padded + REACH, p, w * sizeof(float));
                for (int x = 0; x < REACH; x++) {
                    padded[x] = p[0];
                    padded[w + REACH + x] = p[w - 1];
                }
                In q = padded + REACH;
                for (int x = 0; x < w; x++) {
                    float sum = 0.0f;
                    for (int i = 0; i < REACH; i++)
                        sum += weights[i] * (q[x - i] + q[x + 1 + i]);
                    row[2 * x] = p[x];
                    row[2 * x + 1] = sum;
                }
            }
            memset(between, 0, wide * sizeof(float));
            for (int i = 0; i < REACH; i++) {
                In above = rows + (most(y - i, 0) % (2 * REACH)) * wide;
                In below = rows + (least(y + 1 + i, h - 1) % (2 * REACH)) * wide;
                for (size_t x = 0; x < wide; x++)
                    between[x] += weights[i] * (above[x] + below[x]);
            }
            put(to + 2 * y * wide, rows + (y % (2 * REACH)) * wide, wide, scale);
            put(to + (2 * y + 1) * wide, between, wide, scale);
        }
    }
    free(memory);
    return 0;
}

/* The samples of `planes` doubled planes (2h x 2w) at n places (x, y; px of the plane before it was doubled). */
KERNEL int vfi_look_up(const Fine *plane, int planes, int h, int w, float peak, int n, In x, In y, Out out)
{
    for (int k = 0; k < planes; k++)
        for (int i = 0; i < n; i++) {
            float p = clamped(2.0f * x[i], 0.0f, (float)(2 * w - 1)), q = clamped(2.0f * y[i], 0.0f, (float)(2 * h - 1));
            int c = least((int)p, most(2 * w - 2, 0)), r = least((int)q, most(2 * h - 2, 0));
            float value = bicubic_fine(plane + (size_t)k * 4 * h * w, 2 * h, 2 * w, c, r, p - (float)c, q - (float)r);
            out[(size_t)k * n + i] = value * (peak / FINE_UNITS);
        }
    return 0;
}

/* Marks the blocks of bh x bw samples in which some sample of two times `planes` planes of h x w differs by more than `most`. */
KERNEL int vfi_differs(In a, In b, int planes, int h, int w, int bh, int bw, float most, uint8_t *restrict out)
{
    int columns = (w + bw - 1) / bw;
    for (int k = 0; k < planes; k++)
        for (int y = 0; y < h; y++) {
            In p = a + ((size_t)k * h + y) * w, q = b + ((size_t)k * h + y) * w;
            uint8_t *restrict row = out + (size_t)(y / bh) * columns;
            if (bw == 4)
                for (int x = 0; x < w / 4; x++) {
                    float d0 = fabsf(p[4 * x] - q[4 * x]), d1 = fabsf(p[4 * x + 1] - q[4 * x + 1]);
                    float d2 = fabsf(p[4 * x + 2] - q[4 * x + 2]), d3 = fabsf(p[4 * x + 3] - q[4 * x + 3]);
                    row[x] |= fmaxf(fmaxf(d0, d1), fmaxf(d2, d3)) > most;
                }
            for (int x = bw == 4 ? w / 4 * 4 : 0; x < w; x++)
                row[x / bw] |= fabsf(p[x] - q[x]) > most;
        }
    return 0;
}

/* RGB in [0, 1] of a luma plane of h x w and two colour planes of ch x cw, `pitch` (1 or 2) px between samples. Each of R, G
   and B is `matrix` (3, 4) times luma, u, v and 1. 0, or 1 without memory. */
KERNEL int vfi_rgb(In luma, In colours, int h, int w, int ch, int cw, int pitch, In matrix, Out out)
{
    size_t wide = (size_t)most(w, cw) + 2;
    float *memory = malloc(3 * wide * sizeof(float));
    if (!memory)
        return 1;
    for (int y = 0; y < h; y++) {
        In l = luma + (size_t)y * w;
        In u = row_of(colours, ch, cw, cw, y, pitch, w, memory, memory + wide);
        In v = row_of(colours + (size_t)ch * cw, ch, cw, cw, y, pitch, w, memory, memory + 2 * wide);
        for (int k = 0; k < 3; k++) {
            In m = matrix + 4 * k;
            Out o = out + ((size_t)k * h + y) * w;
            for (int x = 0; x < w; x++)
                o[x] = clamped(m[0] * l[x] + m[1] * u[x] + m[2] * v[x] + m[3], 0.0f, 1.0f);
        }
    }
    free(memory);
    return 0;
}

/* Means over 5 x 5 of the size of the means of 2 x 2 px of `a`, or of a - b unless `b` is NULL, both h x w; halves are rounded
   up, borders repeated. 0, or 1 without memory. */
KERNEL int vfi_apart(In a, const float *b, int h, int w, Out out)
{
    int rows = (h + 1) / 2, columns = (w + 1) / 2, wide = columns + 4;
    float *padded = malloc(((size_t)(rows + 4) * wide + wide) * sizeof(float));
    if (!padded)
        return 1;
    for (int y = 0; y < rows; y++) {
        size_t above = (size_t)2 * y * w, below = (size_t)least(2 * y + 1, h - 1) * w;
        Out p = padded + (size_t)(y + 2) * wide + 2;
        for (int x = 0; x < columns; x++) {
            int left = 2 * x, right = least(left + 1, w - 1);
            float sum = a[above + left] + a[above + right] + a[below + left] + a[below + right];
            if (b)
                sum -= b[above + left] + b[above + right] + b[below + left] + b[below + right];
            p[x] = fabsf(sum) * (0.25f / 25.0f);
        }
    }
    repeat_border(padded, rows, columns, 2);
    for (int y = 0; y < rows; y++)
        sum_row(padded + (size_t)y * wide, wide, columns, 2, padded + (size_t)(rows + 4) * wide, out + (size_t)y * columns);
    free(padded);
    return 0;
}

/* `planes` planes of h x w, one after the other, at twice the size: bilinear, edges aligned. 0, or 1 without memory. */
KERNEL int vfi_enlarge(In image, int planes, int h, int w, Out out)
{
    float *narrow = malloc((w + 1) * sizeof(float));
    if (!narrow)
        return 1;
    for (int k = 0; k < planes; k++)
        for (int y = 0; y < 2 * h; y++)
            row_of(image + (size_t)k * h * w, h, w, w, y, 2, 2 * w, narrow, out + ((size_t)k * 2 * h + y) * 2 * w);
    free(narrow);
    return 0;
}

/* The mean of `channels` planes of h x w (even), one after the other, and of every 2 x 2 px of it. */
KERNEL int vfi_halve(In image, int channels, int h, int w, Out out)
{
    size_t plane = (size_t)h * w;
    float share = 0.25f / (float)channels;
    for (int y = 0; y < h; y += 2) {
        Out o = out + (size_t)(y / 2) * (w / 2);
        memset(o, 0, w / 2 * sizeof(float));
        for (int c = 0; c < channels; c++) {
            In a = image + c * plane + (size_t)y * w, b = a + w;
            for (int x = 0; x < w / 2; x++)
                o[x] += (a[2 * x] + a[2 * x + 1]) + (b[2 * x] + b[2 * x + 1]);
        }
        for (int x = 0; x < w / 2; x++)
            o[x] *= share;
    }
    return 0;
}
