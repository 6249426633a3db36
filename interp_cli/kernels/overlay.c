/* What stands still before what moves: engine/overlay.py says what is looked for. Planes are bytes here, row by row. */

#include "flow.h"

#define RUNS 3
#define AROUND 12 /* px to either side in which the picture moves */
#define GROWS 4   /* px that an overlay grows by */
#define TALL (2 * AROUND + 1)

typedef uint8_t *restrict Bytes;
typedef const uint8_t *restrict Given;

INLINE uint8_t lower(uint8_t a, uint8_t b) { return a < b ? a : b; }
INLINE uint8_t higher(uint8_t a, uint8_t b) { return a > b ? a : b; }

/* Sample number i of n, the others mirrored at the first and the last one. */
INLINE int mirrored(int i, int n)
{
    while (n > 1 && (i < 0 || i >= n))
        i = i < 0 ? -i : 2 * (n - 1) - i;
    return n > 1 ? i : 0;
}

/* The range of a pixel over each run of frames, 1 where it is at least `moves`, and over all of them. */
INLINE void ranges(const uint8_t *const *frames, const int *counts, size_t at, int w, int moves, uint8_t *const *moved, Bytes span,
                   Bytes low, Bytes high)
{
    Bytes lowest = span; /* of all; the highest is behind `high` */
    Bytes highest = high + w;
    memset(lowest, 255, w);
    memset(highest, 0, w);
    for (int k = 0; k < RUNS; k++) {
        memcpy(low, *frames + at, w);
        memcpy(high, *frames + at, w);
        for (int i = 1; i < counts[k]; i++) {
            Given p = frames[i] + at;
            for (int x = 0; x < w; x++) {
                low[x] = lower(low[x], p[x]);
                high[x] = higher(high[x], p[x]);
            }
        }
        frames += counts[k];
        Bytes to = moved[k] + at;
        for (int x = 0; x < w; x++) {
            to[x] = high[x] - low[x] >= moves;
            lowest[x] = lower(lowest[x], low[x]);
            highest[x] = higher(highest[x], high[x]);
        }
    }
    for (int x = 0; x < w; x++)
        span[x] = highest[x] - lowest[x];
}

/* The contrast of row y over 5 x 5 px; `low` and `high` have w + 4. */
INLINE void contrasts(Given plane, int h, int w, int y, Bytes low, Bytes high, Bytes out)
{
    memset(low, 255, w + 4);
    memset(high, 0, w + 4);
    for (int j = most(y - 2, 0); j <= least(y + 2, h - 1); j++) {
        Given p = plane + (size_t)j * w;
        for (int x = 0; x < w; x++) {
            low[x + 2] = lower(low[x + 2], p[x]);
            high[x + 2] = higher(high[x + 2], p[x]);
        }
    }
    for (int x = 0; x < w; x++) {
        uint8_t a = lower(lower(low[x], low[x + 1]), lower(low[x + 2], low[x + 3]));
        uint8_t b = higher(higher(high[x], high[x + 1]), higher(high[x + 2], high[x + 3]));
        out[x] = higher(b, high[x + 4]) - lower(a, low[x + 4]);
    }
}

/* Takes from `sure` what does not stand before motion, which at least `share` px around are needed for. Whether some is left. */
INLINE int before_motion(uint8_t *const *moved, int h, int w, int share, Bytes sure, uint8_t *counts)
{
    int any = 0;
    for (int k = 0; k < RUNS; k++) {
        any = 0;
        memset(counts, 0, w);
        for (int j = -AROUND; j < AROUND; j++) {
            Given p = moved[k] + (size_t)mirrored(j, h) * w;
            for (int x = 0; x < w; x++)
                counts[x] += p[x];
        }
        for (int y = 0; y < h; y++) {
            Given p = moved[k] + (size_t)mirrored(y + AROUND, h) * w, q = moved[k] + (size_t)mirrored(y - AROUND - 1, h) * w;
            Bytes s = sure + (size_t)y * w;
            int some = 0, sum = 0;
            for (int x = 0; x < w; x++) {
                counts[x] += y ? p[x] - q[x] : p[x];
                some |= s[x];
            }
            if (!some)
                continue;
            for (int i = -AROUND; i < AROUND; i++)
                sum += counts[mirrored(i, w)];
            for (int x = 0; x < w; x++) {
                int in = x + AROUND, out = x - AROUND - 1;
                sum += counts[in < w ? in : mirrored(in, w)];
                sum -= x ? counts[out >= 0 ? out : mirrored(out, w)] : 0;
                s[x] = sum >= share ? s[x] : 0;
                any |= s[x];
            }
        }
        if (!any)
            break;
    }
    return any;
}

/* Marks in `out` (h, w) what is still, with 1, and is within GROWS px of what is sure; `near` has w + 2 GROWS. */
INLINE void grow(Given sure, Given still, int h, int w, Bytes near, Bytes out)
{
    memset(near, 0, w + 2 * GROWS);
    for (int y = 0; y < h; y++) {
        Bytes to = out + (size_t)y * w;
        Given s = still + (size_t)(y + 1) * (w + 2) + 1;
        memset(near + GROWS, 0, w);
        for (int j = most(y - GROWS, 0); j <= least(y + GROWS, h - 1); j++)
            for (int x = 0; x < w; x++)
                near[x + GROWS] |= sure[(size_t)j * w + x];
        for (int x = 0; x < w; x++) {
            uint8_t found = 0;
            for (int i = 0; i <= 2 * GROWS; i++)
                found |= near[x + i];
            to[x] = found & s[x] & 1;
        }
    }
}

/* Marks the overlay between two frames of h x w in `out`; `found` says whether there is one, without which `out` means nothing.
   `frames` are those of all runs, `counts` of each; the last run's are the two frames. `most_change` is by contrast. 0, or 1
   without memory. */
KERNEL int vfi_overlay(const uint8_t *const *frames, const int *counts, int h, int w, const uint8_t *most_change, int contrast,
                       int moves, int share, Bytes out, int *found)
{
    size_t plane = (size_t)h * w, padded = (size_t)(h + 2) * (w + 2);
    uint8_t *memory = malloc((RUNS + 1) * plane + padded + 4 * (size_t)(w + 2 * GROWS)), *moved[RUNS];
    if (!memory)
        return 1;
    for (int k = 0; k < RUNS; k++)
        moved[k] = memory + k * plane;
    uint8_t *sure = memory + RUNS * plane, *still = sure + plane, *row = still + padded;
    uint8_t *more = row + w + 2 * GROWS, any = 0;
    const uint8_t *left = frames[counts[0] + counts[1]];
    memset(still, 255, padded);
    for (int y = 0; y < h; y++) {
        Bytes to = still + (size_t)(y + 1) * (w + 2) + 1, around = sure + (size_t)y * w;
        ranges(frames, counts, (size_t)y * w, w, moves, moved, to, row, more);
        contrasts(left, h, w, y, row, more, around);
        for (int x = 0; x < w; x++)
            to[x] = to[x] <= most_change[around[x]] ? 255 : 0;
        for (int x = 0; x < w; x++)
            around[x] = around[x] >= contrast ? 255 : 0;
    }
    for (int y = 0; y < h; y++) {
        Given above = still + (size_t)y * (w + 2), here = above + w + 2, below = here + w + 2;
        Bytes s = sure + (size_t)y * w;
        for (int x = 0; x < w + 2; x++)
            row[x] = above[x] & here[x] & below[x];
        for (int x = 0; x < w; x++) {
            s[x] &= row[x] & row[x + 1] & row[x + 2];
            any |= s[x];
        }
    }
    *found = any && before_motion(moved, h, w, share, sure, row);
    if (*found)
        grow(sure, still, h, w, row, out);
    free(memory);
    return 0;
}
