/* The learned blend of two warped frames, before and after its convolutions: see model/blend.py. */

#include "flow.h"

#define SIDE 4   /* px: the network's grid */
#define SHARES 5 /* what it says: of M's logit, of A's bands and of B's */

/* What the network sees, pixel by pixel of its grid: (h / 4, w / 4, channels) from planes of h x w, rounded up, borders
   repeated. 0. `made` = M * A + (1 - M) * B and `apart` = A - B, times `unit`; `far` are two planes of fh x fw, samples twice
   as far apart. Differences are made `closer` times as large. */
KERNEL int vfi_blend_seen(In made, In apart, int h, int w, float M, float unit, In far, int fh, int fw, float closer,
                           float t, int channels, Out out)
{
    int rows = (h + SIDE - 1) / SIDE, columns = (w + SIDE - 1) / SIDE, half = SIDE / 2;
    for (int y = 0; y < rows; y++)
        for (int x = 0; x < columns; x++) {
            Out o = out + ((size_t)y * columns + x) * channels;
            int whole = x * SIDE + SIDE <= w;
            for (int j = 0; j < SIDE; j++) {
                size_t from = (size_t)least(y * SIDE + j, h - 1) * w;
                for (int i = 0; i < SIDE; i++) {
                    size_t at = from + (whole ? x * SIDE + i : least(x * SIDE + i, w - 1));
                    o[j * SIDE + i] = unit * (made[at] + (0.5f - M) * apart[at]) - 0.5f;
                    o[SIDE * SIDE + j * SIDE + i] = unit * closer * apart[at];
                }
            }
            o += 2 * SIDE * SIDE;
            for (int k = 0; k < 2; k++)
                for (int j = 0; j < half; j++)
                    for (int i = 0; i < half; i++)
                        *o++ = closer * far[((size_t)k * fh + least(y * half + j, fh - 1)) * fw + least(x * half + i, fw - 1)];
            *o = t;
        }
    return 0;
}

/* 1 / (1 + exp(-x)), within 1e-6. */
INLINE float sigmoid(float x)
{
    float p = clamped(-1.44269504f * x, -30.0f, 30.0f), whole = floorf(p), part = p - whole;
    union {
        int32_t i;
        float f;
    } power = {.i = ((int32_t)whole + 127) << 23};
    float e = 0.00133336f;
    e = e * part + 0.00961813f;
    e = e * part + 0.05550411f;
    e = e * part + 0.24022651f;
    e = e * part + 0.69314718f;
    e = e * part + 1.0f;
    return 1.0f / (1.0f + power.f * e);
}

/* A row of w px with weights 1, 2, 1 of px `step` apart, borders repeated. */
INLINE void across(In row, int w, int step, Out out)
{
    for (int x = 0; x < least(step, w); x++)
        out[x] = 0.5f * row[x] + 0.25f * (row[most(x - step, 0)] + row[least(x + step, w - 1)]);
    for (int x = step; x < w - step; x++)
        out[x] = 0.5f * row[x] + 0.25f * (row[x - step] + row[x + step]);
    for (int x = most(w - step, step); x < w; x++)
        out[x] = 0.5f * row[x] + 0.25f * (row[most(x - step, 0)] + row[least(x + step, w - 1)]);
}

INLINE void down(In above, In here, In below, int w, Out out)
{
    for (int x = 0; x < w; x++)
        out[x] = 0.5f * here[x] + 0.25f * (above[x] + below[x]);
}

#define KEPT 8 /* rows of a blur that are needed at once, and more */

/* Row y of a frame, A or B: made + share * apart. */
INLINE void frame_row(In made, In apart, int y, int w, float share, Out out)
{
    In m = made + (size_t)y * w, a = apart + (size_t)y * w;
    for (int x = 0; x < w; x++)
        out[x] = m[x] + share * a[x];
}

/* `out` = what `made` is with the network's mask and residual, `change` how much the mask changes, each h x w. `shares`
   are (rows, columns, 4 * SHARES) on the network's grid, `stride` from one place to the next; `logit` is that of M. 0, or 1 without memory. */
KERNEL int vfi_blend(In made, In apart, int h, int w, float M, float logit, In shares, int stride, Out out,
                     Out change)
{
    int columns = (w + SIDE - 1) / SIDE, rows = (h + SIDE - 1) / SIDE, wide = columns * SIDE;
    size_t half = (size_t)wide / 2;
    float *memory = malloc((2 * (2 * KEPT + 3) * (size_t)w + SHARES * (half + wide)) * sizeof(float));
    if (!memory)
        return 1;
    float *smooth[2], *fine[2], *rest = memory + 4 * KEPT * (size_t)w, *said = rest + 6 * (size_t)w, *full = said + SHARES * half;
    for (int k = 0; k < 2; k++) { /* of A and of B: blurred along rows, and along both */
        smooth[k] = memory + 2 * k * KEPT * (size_t)w;
        fine[k] = smooth[k] + KEPT * (size_t)w;
    }
    float *own = rest, *third = rest + (size_t)w, *coarse = rest + 2 * (size_t)w, *sum = rest + 3 * (size_t)w;
    const float share[2] = {1.0f - M, -M};
    int smoothed = 0, fined = 0;
    for (int y = 0; y < h; y++) {
        for (; smoothed <= least(y + 3, h - 1); smoothed++)
            for (int k = 0; k < 2; k++) {
                frame_row(made, apart, smoothed, w, share[k], own);
                across(own, w, 1, smooth[k] + (size_t)(smoothed % KEPT) * w);
            }
        for (; fined <= least(y + 2, h - 1); fined++)
            for (int k = 0; k < 2; k++) {
                In s = smooth[k];
                down(s + (size_t)(most(fined - 1, 0) % KEPT) * w, s + (size_t)(fined % KEPT) * w,
                     s + (size_t)(least(fined + 1, h - 1) % KEPT) * w, w, fine[k] + (size_t)(fined % KEPT) * w);
            }
        /* the shares of this row: those of two rows of the half-size grid, then of two columns */
        int r = y / 2, other = most(least(r + (y % 2 ? 1 : -1), 2 * rows - 1), 0);
        for (int c = 0; c < SHARES; c++) {
            Out s = said + c * half, f = full + (size_t)c * wide;
            In a = shares + (size_t)(r / 2) * columns * stride + 4 * c + 2 * (r % 2);
            In b = shares + (size_t)(other / 2) * columns * stride + 4 * c + 2 * (other % 2);
            for (int x = 0; x < columns; x++)
                for (int i = 0; i < 2; i++)
                    s[2 * x + i] = 0.75f * a[(size_t)x * stride + i] + 0.25f * b[(size_t)x * stride + i];
            f[0] = s[0];
            f[wide - 1] = s[half - 1];
            for (size_t x = 0; x + 1 < half; x++) {
                f[2 * x + 1] = 0.75f * s[x] + 0.25f * s[x + 1];
                f[2 * x + 2] = 0.25f * s[x] + 0.75f * s[x + 1];
            }
        }
        memset(sum, 0, w * sizeof(float));
        for (int k = 0; k < 2; k++) {
            In f = fine[k], here = f + (size_t)(y % KEPT) * w;
            In first = full + (size_t)(1 + 2 * k) * wide, second = first + wide;
            frame_row(made, apart, y, w, share[k], own);
            down(f + (size_t)(most(y - 2, 0) % KEPT) * w, here, f + (size_t)(least(y + 2, h - 1) % KEPT) * w, w, third);
            across(third, w, 2, coarse);
            for (int x = 0; x < w; x++)
                sum[x] += first[x] * (own[x] - here[x]) + second[x] * (here[x] - coarse[x]);
        }
        In m = made + (size_t)y * w, a = apart + (size_t)y * w;
        Out o = out + (size_t)y * w, d = change + (size_t)y * w;
        for (int x = 0; x < w; x++) {
            d[x] = sigmoid(logit + full[x]) - M;
            o[x] = m[x] + d[x] * a[x] + sum[x];
        }
    }
    free(memory);
    return 0;
}
