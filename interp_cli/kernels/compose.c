/* Composing a frame on its planes, and the copies of twice the size that it is composed from: see engine/planes.py. */

#include "flow.h"

typedef float Four __attribute__((vector_size(16)));

/* Doubled planes are kept in half the memory, FINE_UNITS to the largest code value and as much again beyond it, and with
   BEFORE + AFTER more rows and columns, where the outermost samples are repeated. */
typedef int16_t Fine;
#define FINE_UNITS 16000.0f
#define BEFORE 1
#define AFTER 2

#define STEPS 512      /* places between two samples of a doubled plane that are told apart */
#define WHOLE 32767.0f /* a weight of 1 */

/* Weights of the four samples around each such place: along a row, and of the rows, each of which is there twice. */
typedef struct {
    int16_t across[STEPS][4];
    float down[STEPS][8];
} Weights;

/* Memory for one row of w px. */
typedef struct {
    float *narrow, *early, *late;
    struct {
        int *x, *y, *at;
        float *ax, *ay;
    } ends[2];
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

/* The sample of a plane of h x w at (x + ax, y + ay). */
INLINE float bicubic(In plane, int h, int w, int x, int y, float ax, float ay)
{
    Four across = cubic(ax), down = cubic(ay), sum = {0.0f, 0.0f, 0.0f, 0.0f};
    if (x >= 1 && y >= 1 && x < w - 2 && y < h - 2) {
        In p = plane + (size_t)(y - 1) * w + x - 1;
        sum = four(p) * down[0] + four(p + w) * down[1];
        sum += four(p + 2 * (size_t)w) * down[2] + four(p + 3 * (size_t)w) * down[3];
    } else
        for (int j = 0; j < 4; j++) {
            In p = plane + (size_t)most(least(y - 1 + j, h - 1), 0) * w;
            for (int i = 0; i < 4; i++)
                sum[i] += down[j] * p[most(least(x - 1 + i, w - 1), 0)];
        }
    sum *= across;
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

/* `value` is what the largest code value is to be. */
INLINE void weigh(float value, Weights *weights)
{
    float scale = value / (FINE_UNITS * WHOLE);
    for (int k = 0; k < STEPS; k++) {
        Four exact = cubic((float)k / STEPS);
        int16_t *across = weights->across[k];
        for (int i = 0; i < 4; i++) {
            across[i] = (int16_t)lrintf(WHOLE * exact[i]);
            weights->down[k][2 * i] = weights->down[k][2 * i + 1] = scale * exact[i];
        }
        across[k < STEPS / 2 ? 1 : 2] += (int16_t)(WHOLE - across[0] - across[1] - across[2] - across[3]);
    }
}

/* Of two rows of four samples the weighted sums of the first two and of the last two. */
INLINE Four halves(const Fine *above, const Fine *below, const int16_t *across)
{
#ifdef __SSE2__
    __m128i weights = _mm_loadl_epi64((const __m128i *)across);
    __m128i rows = _mm_unpacklo_epi64(_mm_loadl_epi64((const __m128i *)above), _mm_loadl_epi64((const __m128i *)below));
    return (Four)_mm_cvtepi32_ps(_mm_madd_epi16(rows, _mm_unpacklo_epi64(weights, weights)));
#else
    return (Four){(float)(above[0] * across[0] + above[1] * across[1]), (float)(above[2] * across[2] + above[3] * across[3]),
                  (float)(below[0] * across[0] + below[1] * across[1]), (float)(below[2] * across[2] + below[3] * across[3])};
#endif
}

/* What is to be summed up to the sample whose surroundings begin at p, in a plane with rows `wide` apart. */
INLINE Four parts(const Fine *p, size_t wide, const int16_t *across, const float *down)
{
    return halves(p, p + wide, across) * four(down) + halves(p + 2 * wide, p + 3 * wide, across) * four(down + 4);
}

INLINE float total(Four v) { return (v[0] + v[2]) + (v[1] + v[3]); }

/* n samples of a doubled plane whose first row of w is `plane`, at places (x, y) in STEPS to a sample. */
INLINE void fine_row(const Fine *plane, int w, const int *restrict x, const int *restrict y, int n, int *restrict at,
                     const Weights *weights, Out out)
{
    int wide = w + BEFORE + AFTER, k = 0;
    for (int i = 0; i < n; i++)
        at[i] = (y[i] / STEPS) * wide + x[i] / STEPS;
#ifdef __SSE2__
    for (; k < n - 3; k += 4) {
        __m128 v[4];
        for (int i = k; i < k + 4; i++)
            v[i - k] = (__m128)parts(plane + at[i], wide, weights->across[x[i] % STEPS], weights->down[y[i] % STEPS]);
        __m128 a = _mm_unpacklo_ps(v[0], v[1]) + _mm_unpackhi_ps(v[0], v[1]);
        __m128 b = _mm_unpacklo_ps(v[2], v[3]) + _mm_unpackhi_ps(v[2], v[3]);
        _mm_storeu_ps(out + k, _mm_movelh_ps(a, b) + _mm_movehl_ps(b, a));
    }
#endif
    for (; k < n; k++)
        out[k] = total(parts(plane + at[k], wide, weights->across[x[k] % STEPS], weights->down[y[k] % STEPS]));
}

/* Where origin + unit * shift lies among `size` samples, border repeated, in STEPS to a sample. */
INLINE void place_fine(In shift, float unit, float origin, float step, int size, int w, int *restrict at)
{
    float last = (float)(size - 1) * STEPS;
    unit *= STEPS, origin *= STEPS, step *= STEPS;
    for (int x = 0; x < w; x++)
        at[x] = (int)(clamped(origin + step * (float)x + unit * shift[x], 0.0f, last) + 0.5f);
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
    int finer = peak > 0 ? 2 : 1, hf = h * finer, wf = w * finer;
    Weights weights;
    size_t wide = ((size_t)most(w, fw) + 17) / 16 * 16;
    size_t plane = peak > 0 ? (size_t)(hf + BEFORE + AFTER) * (wf + BEFORE + AFTER) : (size_t)h * w;
    float *memory = malloc(17 * wide * sizeof(float)), *row = memory + 4 * wide;
    if (!memory)
        return 1;
    Line l = {.narrow = row, .early = row + wide, .late = row + 2 * wide};
    row += 3 * wide;
    for (int k = 0; k < 2; k++, row += 5 * wide) {
        l.ends[k].x = (int *)row, l.ends[k].y = (int *)(row + wide), l.ends[k].at = (int *)(row + 2 * wide);
        l.ends[k].ax = row + 3 * wide, l.ends[k].ay = row + 4 * wide;
    }
    float ux = unit[0] * (float)finer, uy = unit[1] * (float)finer;
    weigh(peak, &weights);
    for (int y = 0; y < h; y++) {
        In f[4];
        for (int k = 0; k < 4; k++)
            f[k] = row_of(flow + k * stride[0], fh, fw, stride[1], y, pitch, w, l.narrow, memory + k * wide);
        for (int k = 0; k < 2; k++) {
            int *px = l.ends[k].x, *py = l.ends[k].y, *at = l.ends[k].at;
            if (peak > 0) {
                place_fine(f[2 * k], ux, 0.0f, 2.0f, wf, w, px);
                place_fine(f[2 * k + 1], uy, (float)(2 * y), 0.0f, hf, w, py);
            } else {
                place(f[2 * k], ux, 0.0f, 1.0f, w, w, px, l.ends[k].ax);
                place(f[2 * k + 1], uy, (float)y, 0.0f, h, w, py, l.ends[k].ay);
                for (int x = 0; x < w; x++)
                    at[x] = py[x] * w + px[x];
            }
        }
        for (int c = 0; c < channels; c++) {
            Out o = out + ((size_t)c * h + y) * w, early = l.early, late = l.late;
            for (int k = 0; k < 2; k++) {
                float *to = k ? late : early;
                int *px = l.ends[k].x, *py = l.ends[k].y, *at = l.ends[k].at;
                float *ax = l.ends[k].ax, *ay = l.ends[k].ay;
                if (peak > 0)
                    fine_row((const Fine *)(k ? b : a) + c * plane, wf, px, py, w, at, &weights, to);
                else if (cubical)
                    for (int x = 0; x < w; x++)
                        to[x] = bicubic((const float *)(k ? b : a) + c * plane, h, w, px[x], py[x], ax[x], ay[x]);
                else
                    bilinear_row((const float *)(k ? b : a) + c * plane, h, w, w, at, ax, ay, w, to);
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

INLINE Fine fine(float x) { return (Fine)(int)rintf(clamped(x, -32767.0f, 32767.0f)); }

/* `planes` planes of h x w with a sample between every two, doubled: `weights` are those of the samples 1/2, 3/2,
   ... px away, on either side. 0, or 1 without memory. */
KERNEL int vfi_double(In plane, int planes, int h, int w, In weights, float peak, Fine *out)
{
    size_t wide = 2 * (size_t)w, full = wide + BEFORE + AFTER, rows_of_all = 2 * (size_t)h + BEFORE + AFTER;
    float *memory = malloc(((size_t)w + 2 * REACH + 2 * REACH * wide) * sizeof(float)), k[REACH];
    if (!memory)
        return 1;
    float *padded = memory, *rows = memory + w + 2 * REACH, scale = FINE_UNITS / peak;
    memcpy(k, weights, sizeof k);
    for (int c = 0; c < planes; c++) {
        Fine *first = out + c * rows_of_all * full, *to = first + BEFORE * full + BEFORE;
        int ready = 0;
        for (int y = 0; y < h; y++) {
            for (; ready <= least(y + REACH, h - 1); ready++) {
                In p = plane + ((size_t)c * h + ready) * w, q = padded + REACH;
                Out row = rows + (ready % (2 * REACH)) * wide;
                for (int x = 0; x < w; x++)
                    padded[REACH + x] = scale * p[x];
                for (int x = 0; x < REACH; x++) {
                    padded[x] = padded[REACH];
                    padded[w + REACH + x] = padded[w + REACH - 1];
                }
                for (int x = 0; x < w; x++) {
                    row[2 * x] = q[x];
                    row[2 * x + 1] = k[0] * (q[x] + q[x + 1]) + k[1] * (q[x - 1] + q[x + 2]) +
                                     k[2] * (q[x - 2] + q[x + 3]) + k[3] * (q[x - 3] + q[x + 4]);
                }
            }
            const float *r[2 * REACH];
            for (int i = 0; i < 2 * REACH; i++)
                r[i] = rows + (most(least(y + 1 + i - REACH, h - 1), 0) % (2 * REACH)) * wide;
            Fine *restrict on = to + 2 * y * full, *restrict between = on + full;
            In a = r[0], b = r[1], d = r[2], e = r[3], f = r[4], g = r[5], i = r[6], j = r[7];
            for (size_t x = 0; x < wide; x++)
                on[x] = fine(e[x]);
            for (size_t x = 0; x < wide; x++)
                between[x] = fine(k[0] * (e[x] + f[x]) + k[1] * (d[x] + g[x]) + k[2] * (b[x] + i[x]) + k[3] * (a[x] + j[x]));
            for (Fine *row = on; row <= between; row += full) {
                row[-1] = row[0];
                row[wide] = row[wide + 1] = row[wide - 1];
            }
        }
        memcpy(first, first + full, full * sizeof(Fine));
        for (size_t y = rows_of_all - AFTER; y < rows_of_all; y++)
            memcpy(first + y * full, first + (rows_of_all - AFTER - 1) * full, full * sizeof(Fine));
    }
    free(memory);
    return 0;
}

/* The samples of `planes` doubled planes at n places (x, y; px of the planes of h x w before). */
KERNEL int vfi_look_up(const Fine *plane, int planes, int h, int w, float peak, int n, In x, In y, Out out)
{
    Weights weights;
    int *memory = malloc(3 * (size_t)n * sizeof(int)), *px = memory, *py = memory + n;
    if (!memory)
        return 1;
    weigh(peak, &weights);
    place_fine(x, 2.0f, 0.0f, 0.0f, 2 * w, n, px);
    place_fine(y, 2.0f, 0.0f, 0.0f, 2 * h, n, py);
    size_t size = (size_t)(2 * h + BEFORE + AFTER) * (2 * w + BEFORE + AFTER);
    for (int k = 0; k < planes; k++)
        fine_row(plane + k * size, 2 * w, px, py, n, memory + 2 * n, &weights, out + (size_t)k * n);
    free(memory);
    return 0;
}

/* Marks the blocks of bh x bw samples in which some sample of two times `planes` planes of h x w differs by more than `most`.
   0, or 1 without memory. */
KERNEL int vfi_differs(In a, In b, int planes, int h, int w, int bh, int bw, float most_apart, uint8_t *restrict out)
{
    int columns = (w + bw - 1) / bw, fours = bw == 4 ? w / 4 : 0;
    uint8_t *restrict apart = malloc(w);
    if (!apart)
        return 1;
    for (int k = 0; k < planes; k++)
        for (int top = 0; top < h; top += bh) {
            uint8_t *restrict row = out + (size_t)(top / bh) * columns;
            memset(apart, 0, w);
            for (int y = top; y < least(top + bh, h); y++) {
                In p = a + ((size_t)k * h + y) * w, q = b + ((size_t)k * h + y) * w;
                for (int x = 0; x < w; x++)
                    apart[x] |= fabsf(p[x] - q[x]) > most_apart;
            }
            for (int x = 0; x < fours; x++)
                row[x] |= apart[4 * x] | apart[4 * x + 1] | apart[4 * x + 2] | apart[4 * x + 3];
            for (int x = 4 * fours; x < w; x++)
                row[x / bw] |= apart[x];
        }
    free(apart);
    return 0;
}

/* 1 in `still` (rows, columns) for the blocks that do not differ and whose flow is `most` px at most, there and in the eight
   around, else 0. Of four planes of flow, rows and planes `stride` apart, every `step`-th sample is a block's. 0, or 1
   without memory. */
KERNEL int vfi_still(const uint8_t *differs, int rows, int columns, In flow, const int64_t *stride, int step, float most_flow,
                     Out still)
{
    size_t blocks = (size_t)rows * columns;
    uint8_t *moves = malloc(2 * blocks);
    if (!moves)
        return 1;
    memcpy(moves, differs, blocks);
    for (int k = 0; k < 4; k++)
        for (int y = 0; y < rows; y++) {
            In f = flow + k * stride[0] + (size_t)y * step * stride[1];
            for (int x = 0; x < columns; x++)
                moves[(size_t)y * columns + x] |= fabsf(f[(size_t)x * step]) > most_flow;
        }
    spread(moves, rows, columns, moves + blocks);
    for (size_t i = 0; i < blocks; i++)
        still[i] = moves[blocks + i] ? 0.0f : 1.0f;
    free(moves);
    return 0;
}

/* Gives `planes` planes of h x w, in place, as much of `source` as `weights` (wh, ww) say, `pitch` (1 or 2) px between those.
   0, or 1 without memory. */
KERNEL int vfi_hold(float *restrict made, In source, int planes, int h, int w, In weights, int wh, int ww, int pitch)
{
    size_t wide = (size_t)most(w, 2 * ww) + 2;
    float *memory = malloc(2 * wide * sizeof(float));
    if (!memory)
        return 1;
    for (int y = 0; y < h; y++) {
        In row = row_of(weights, wh, ww, ww, y, pitch, w, memory, memory + wide);
        float largest = 0.0f;
        for (int x = 0; x < w; x++)
            largest = fmaxf(largest, row[x]);
        for (int k = 0; largest > 0.0f && k < planes; k++) {
            Out m = made + ((size_t)k * h + y) * w;
            In s = source + ((size_t)k * h + y) * w;
            for (int x = 0; x < w; x++)
                m[x] += row[x] * (s[x] - m[x]);
        }
    }
    free(memory);
    return 0;
}

/* n floats to the nearest whole number from 0 to peak, of 1 or 2 bytes. */
KERNEL int vfi_codes(In x, int64_t n, float peak, int bytes, void *out)
{
    uint8_t *restrict small = out;
    uint16_t *restrict large = out;
    if (bytes == 1)
        for (int64_t i = 0; i < n; i++)
            small[i] = (uint8_t)(int)clamped(x[i] + 0.5f, 0.0f, peak);
    else
        for (int64_t i = 0; i < n; i++)
            large[i] = (uint16_t)(int)clamped(x[i] + 0.5f, 0.0f, peak);
    return 0;
}

/* R, G or B of a pixel, by its row of a matrix. */
INLINE float colour(In m, float luma, float u, float v) { return clamped(m[0] * luma + m[1] * u + m[2] * v + m[3], 0.0f, 1.0f); }

/* RGB in [0, 1] of a luma plane of h x w and two colour planes of ch x cw, `pitch` (1 or 2) px between samples. Each of R, G
   and B is `matrix` (3, 4) times luma, u, v and 1; with `mean`, their mean is all there is. 0, or 1 without memory. */
KERNEL int vfi_rgb(In luma, In colours, int h, int w, int ch, int cw, int pitch, In matrix, int mean, Out out)
{
    size_t wide = (size_t)most(w, cw) + 2;
    float *memory = malloc(3 * wide * sizeof(float));
    if (!memory)
        return 1;
    for (int y = 0; y < h; y++) {
        In l = luma + (size_t)y * w;
        In u = row_of(colours, ch, cw, cw, y, pitch, w, memory, memory + wide);
        In v = row_of(colours + (size_t)ch * cw, ch, cw, cw, y, pitch, w, memory, memory + 2 * wide);
        for (int k = 0; k < (mean ? 0 : 3); k++) {
            Out o = out + ((size_t)k * h + y) * w;
            for (int x = 0; x < w; x++)
                o[x] = colour(matrix + 4 * k, l[x], u[x], v[x]);
        }
        Out o = out + (size_t)y * w;
        for (int x = 0; mean && x < w; x++)
            o[x] = (colour(matrix, l[x], u[x], v[x]) + colour(matrix + 4, l[x], u[x], v[x]) +
                    colour(matrix + 8, l[x], u[x], v[x])) * (1.0f / 3.0f);
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

/* How much of a simpler motion's frame is to be shown, in planes of h x w: of none, in `at_rest`, and of that of most of the
   frame, in `along`, where `rest` and `moved` say how far the frames are apart then (`moved` NULL: there is none), and `own` as
   they are. `left` is the frame before, `numbers` are GAIN, LEAST and TEXTURE. `found` tells in which of both there is
   something. 0, or 1 without memory. See engine/doubt.py. */
KERNEL int vfi_doubt(In own, In rest, const float *moved, In left, int h, int w, const float *numbers, Out at_rest, Out along,
                     int *found)
{
    float gain = numbers[0], limit = numbers[1], texture = numbers[2];
    int wide = w + 4, any = 0;
    size_t padded = (size_t)(h + 4) * wide;
    float *memory = malloc((2 * padded + 2 * wide) * sizeof(float));
    uint8_t *doubtful = calloc(2 * (size_t)h + 4, 1), *ready = doubtful + h;
    if (!memory || !doubtful) {
        free(memory);
        free(doubtful);
        return 1;
    }
    float *around = memory, *apart = memory + padded, *column = memory + 2 * padded, *mean = column + wide;
    for (int y = 0; y < h; y++) {
        In o = own + (size_t)y * w, r = rest + (size_t)y * w, m = moved ? moved + (size_t)y * w : r;
        Out one = at_rest + (size_t)y * w, two = along + (size_t)y * w;
        float largest = 0.0f;
        for (int x = 0; x < w; x++) {
            float weight = clamped((o[x] - gain * fminf(r[x], m[x]) - limit) / limit, 0.0f, 1.0f);
            one[x] = r[x] <= m[x] ? weight : 0.0f;
            two[x] = r[x] <= m[x] ? 0.0f : weight;
            largest = fmaxf(largest, weight);
        }
        any |= doubtful[y] = largest > 0.0f;
    }
    found[0] = found[1] = 0;
    for (int y = 0; any && y < h; y++)
        memcpy(around + (size_t)(y + 2) * wide + 2, left + (size_t)y * w, w * sizeof(float));
    if (any)
        repeat_border(around, h, w, 2);
    for (int y = 0; y < h; y++) {
        if (!doubtful[y])
            continue;
        for (int j = y; j < y + 5; j++) { /* rows of `apart`, which is padded too */
            int from = most(least(j - 2, h - 1), 0);
            In p = around + (size_t)(from + 2) * wide + 2;
            Out to = apart + (size_t)j * wide;
            if (ready[j]++)
                continue;
            sum_row(around + (size_t)from * wide, wide, w, 2, column, mean);
            for (int x = 0; x < w; x++)
                to[x + 2] = fabsf(p[x] - mean[x] * (1.0f / 25.0f));
            to[0] = to[1] = to[2];
            to[w + 2] = to[w + 3] = to[w + 1];
        }
        Out one = at_rest + (size_t)y * w, two = along + (size_t)y * w;
        float largest[2] = {0.0f, 0.0f};
        sum_row(apart + (size_t)y * wide, wide, w, 2, column, mean);
        for (int x = 0; x < w; x++) {
            float shown = mean[x] >= 25.0f * texture ? 1.0f : 0.0f;
            one[x] *= shown;
            two[x] *= shown;
            largest[0] = fmaxf(largest[0], one[x]);
            largest[1] = fmaxf(largest[1], two[x]);
        }
        found[0] |= largest[0] > 0.0f;
        found[1] |= largest[1] > 0.0f;
    }
    free(memory);
    free(doubtful);
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
