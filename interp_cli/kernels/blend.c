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

/* The next run of px of a row, from `to` on, at marked places. Begin with {0, 0}. */
typedef struct {
    int from, to;
} Span;

INLINE int next(Span *s, const uint8_t *marks, int columns, int w)
{
    int k = (s->to + SIDE - 1) / SIDE;
    while (k < columns && !marks[k])
        k++;
    if (k >= columns)
        return 0;
    s->from = k * SIDE;
    while (k < columns && marks[k])
        k++;
    s->to = least(k * SIDE, w);
    return 1;
}

/* Part of a row of w px with weights 1, 2, 1 of px `step` apart, borders repeated. */
INLINE void across(In row, int w, int step, Span s, Out out)
{
    for (int x = s.from; x < least(step, s.to); x++)
        out[x] = 0.5f * row[x] + 0.25f * (row[most(x - step, 0)] + row[least(x + step, w - 1)]);
    for (int x = most(s.from, step); x < least(s.to, w - step); x++)
        out[x] = 0.5f * row[x] + 0.25f * (row[x - step] + row[x + step]);
    for (int x = most(s.from, most(w - step, step)); x < s.to; x++)
        out[x] = 0.5f * row[x] + 0.25f * (row[most(x - step, 0)] + row[least(x + step, w - 1)]);
}

INLINE void down(In above, In here, In below, Span s, Out out)
{
    for (int x = s.from; x < s.to; x++)
        out[x] = 0.5f * here[x] + 0.25f * (above[x] + below[x]);
}

/* `n` more px on either side, as far as there are any. */
INLINE Span wider(Span s, int n, int w) { return (Span){most(s.from - n, 0), least(s.to + n, w)}; }

#define GAP 6 /* places: runs so near each other are one, for short ones cost more than they save */

INLINE void bridge(uint8_t *marks, int rows, int columns)
{
    for (int y = 0; y < rows; y++, marks += columns)
        for (int x = 0, last = columns; x < columns; x++)
            if (marks[x]) {
                if (x > last && x - last <= GAP)
                    memset(marks + last, 1, x - last);
                last = x;
            }
}

#define KEPT 8 /* rows of a blur that are needed at once, and more */

/* Part of row y of a frame, A or B: made + share * apart. */
INLINE void frame_row(const float *made, In apart, int y, int w, float share, Span s, Out out)
{
    const float *m = made + (size_t)y * w;
    In a = apart + (size_t)y * w;
    for (int x = s.from; x < s.to; x++)
        out[x] = m[x] + share * a[x];
}

/* Gives `made` (h, w), in place, the network's mask and residual. `change` says how much the mask changes, as means over
   pitch[0] rows and pitch[1] columns, each 1 or 2. `shares` are (rows, columns, 4 * SHARES) on the network's grid, `stride`
   from one place to the next; `logit` is that of M. 0, or 1 without memory. Where all shares are 0, at a place and around it,
   nothing changes, and nothing is computed. */
KERNEL int vfi_blend(float *made, In apart, int h, int w, float M, float logit, In shares, int stride, const int *pitch,
                     Out change)
{
    int columns = (w + SIDE - 1) / SIDE, rows = (h + SIDE - 1) / SIDE, wide = columns * SIDE;
    size_t half = (size_t)wide / 2, places = (size_t)rows * columns, floats = 2 * (2 * KEPT + 3) * (size_t)w + SHARES * (half + wide);
    float *memory = malloc(floats * sizeof(float) + 3 * places);
    if (!memory)
        return 1;
    float *smooth[2], *fine[2], *rest = memory + 4 * KEPT * (size_t)w, *said = rest + 6 * (size_t)w, *full = said + SHARES * half;
    for (int k = 0; k < 2; k++) { /* of A and of B: blurred along rows, and along both */
        smooth[k] = memory + 2 * k * KEPT * (size_t)w;
        fine[k] = smooth[k] + KEPT * (size_t)w;
    }
    float *own = rest, *third = rest + (size_t)w, *coarse = rest + 2 * (size_t)w, *sum = rest + 3 * (size_t)w;
    uint8_t *said_at = (uint8_t *)(memory + floats), *changes = said_at + places, *seen = changes + places;
    for (size_t i = 0; i < places; i++) {
        float size = 0.0f;
        for (int c = 0; c < 4 * SHARES; c++)
            size += fabsf(shares[i * stride + c]);
        said_at[i] = size > 0.0f;
    }
    spread(said_at, rows, columns, changes); /* shares are interpolated */
    bridge(changes, rows, columns);
    spread(changes, rows, columns, seen);    /* blurs reach 3 px */
    const float share[2] = {1.0f - M, -M};
    int smoothed = 0, fined = 0, down_by = pitch[0], across_by = pitch[1], cw = (w + across_by - 1) / across_by;
    memset(change, 0, (size_t)((h + down_by - 1) / down_by) * cw * sizeof(float));
    for (int y = 0; y < h; y++) {
        for (; smoothed <= least(y + 3, h - 1); smoothed++)
            for (Span s = {0, 0}; next(&s, seen + (size_t)(smoothed / SIDE) * columns, columns, w);)
                for (int k = 0; k < 2; k++) {
                    frame_row(made, apart, smoothed, w, share[k], wider(s, 1, w), own);
                    across(own, w, 1, s, smooth[k] + (size_t)(smoothed % KEPT) * w);
                }
        for (; fined <= least(y + 2, h - 1); fined++)
            for (Span s = {0, 0}; next(&s, seen + (size_t)(fined / SIDE) * columns, columns, w);)
                for (int k = 0; k < 2; k++) {
                    In p = smooth[k];
                    down(p + (size_t)(most(fined - 1, 0) % KEPT) * w, p + (size_t)(fined % KEPT) * w,
                         p + (size_t)(least(fined + 1, h - 1) % KEPT) * w, s, fine[k] + (size_t)(fined % KEPT) * w);
                }
        In a = apart + (size_t)y * w;
        Out m = made + (size_t)y * w, d = coarse, mean = change + (size_t)(y / down_by) * cw;
        float part = 1.0f / (float)(across_by * (y + 1 == h && y % down_by == 0 ? 1 : down_by));
        /* the shares of this row: those of two rows of the half-size grid, then of two columns */
        int r = y / 2, other = most(least(r + (y % 2 ? 1 : -1), 2 * rows - 1), 0);
        for (Span run = {0, 0}; next(&run, changes + (size_t)(y / SIDE) * columns, columns, w);) {
            int first = most(run.from / SIDE - 1, 0), last = least((run.to - 1) / SIDE + 1, columns - 1);
            for (int c = 0; c < SHARES; c++) {
                Out s = said + c * half, f = full + (size_t)c * wide;
                In here = shares + (size_t)(r / 2) * columns * stride + 4 * c + 2 * (r % 2);
                In there = shares + (size_t)(other / 2) * columns * stride + 4 * c + 2 * (other % 2);
                for (int x = first; x <= last; x++)
                    for (int i = 0; i < 2; i++)
                        s[2 * x + i] = 0.75f * here[(size_t)x * stride + i] + 0.25f * there[(size_t)x * stride + i];
                f[4 * first] = s[2 * first];
                f[4 * last + 3] = s[2 * last + 1];
                for (int x = 2 * first; x < 2 * last + 1; x++) {
                    f[2 * x + 1] = 0.75f * s[x] + 0.25f * s[x + 1];
                    f[2 * x + 2] = 0.25f * s[x] + 0.75f * s[x + 1];
                }
            }
            memset(sum + run.from, 0, (size_t)(run.to - run.from) * sizeof(float));
            for (int k = 0; k < 2; k++) {
                In p = fine[k], here = p + (size_t)(y % KEPT) * w;
                In one = full + (size_t)(1 + 2 * k) * wide, two = one + wide;
                frame_row(made, apart, y, w, share[k], run, own);
                down(p + (size_t)(most(y - 2, 0) % KEPT) * w, here, p + (size_t)(least(y + 2, h - 1) % KEPT) * w,
                     wider(run, 2, w), third);
                across(third, w, 2, run, coarse);
                for (int x = run.from; x < run.to; x++)
                    sum[x] += one[x] * (own[x] - here[x]) + two[x] * (here[x] - coarse[x]);
            }
            for (int x = run.from; x < run.to; x++) {
                d[x] = sigmoid(logit + full[x]) - M;
                m[x] += d[x] * a[x] + sum[x];
            }
            if (across_by == 1)
                for (int x = run.from; x < run.to; x++)
                    mean[x] += part * d[x];
            else {
                for (int x = run.from / 2; x < run.to / 2; x++)
                    mean[x] += part * (d[2 * x] + d[2 * x + 1]);
                if (run.to % 2)
                    mean[run.to / 2] += 2.0f * part * d[run.to - 1];
            }
        }
    }
    free(memory);
    return 0;
}
