/* Alignment and propagation of flows: model/align.py and model/propagate.py say what is computed, and why. */

#include "flow.h"

const char *vfi_sources(void) { return VFI_SOURCES; }

#define NEAR 25 /* px in the square over which flow is smoothed */

#define ROWS 8    /* px of a block, the unit that comes to rest */
#define COLUMNS 32 /* px of a block */
#define TAPS 2     /* px between the velocities that the bilateral filter looks at */
#define OUTSIDE 4.0f /* added to the difference of frames, full scale 1, where one of them shows nothing */
#define MARGIN 0.5f  /* px beyond the outermost that still count as inside, in alignment */

typedef struct {
    int steps, sweeps, window, medians;
    /* the constants themselves, `floor` is the noise squared; 0: none */
    float smooth, floor, edges, doubt, most, still, trust;
} Alignment;

/* Memory for one alignment, cut from one piece. */
typedef struct {
    float *e, *mean, *gx, *gy, *apart, *share, *total, *sums, *v, *u, *rest, *diagonal, *cross, *shared[2];
    float *moments[5], *row[5];
    unsigned char *moves; /* blocks, row by row */
    Places at;
} Room;

static size_t room(Room *r, char *memory, int h, int w)
{
    size_t used = 0, plane = (size_t)h * w, one = (size_t)(h + 2) * (w + 2), two = (size_t)(h + 4) * (w + 4);
    struct { float **to; size_t count; } parts[] = {
        {&r->e, one}, {&r->mean, one}, {&r->gx, one}, {&r->gy, one}, {&r->apart, two}, {&r->share, two},
        {&r->total, plane}, {&r->sums, 5 * w}, {&r->v, 2 * plane}, {&r->u, 2 * plane}, {&r->rest, 2 * plane},
        {&r->diagonal, 2 * plane}, {&r->cross, plane}, {&r->shared[0], 2 * two}, {&r->shared[1], 2 * two},
        {&r->moments[0], 5 * (w + 4)}, {&r->moments[1], 5 * (w + 4)}, {&r->moments[2], 5 * (w + 4)},
        {&r->moments[3], 5 * (w + 4)}, {&r->moments[4], 5 * (w + 4)}, {&r->row[0], w + 4}, {&r->row[1], w + 4},
        {&r->row[2], w + 4}, {&r->row[3], w + 4}, {&r->row[4], w + 4}, {&r->at.ax, w}, {&r->at.ay, w},
        {(float **)&r->at.x, w}, {(float **)&r->at.y, w},
        {(float **)&r->moves, (size_t)(h / ROWS + 1) * (w / COLUMNS + 1) / sizeof(float) + 1},
    };
    for (size_t k = 0; k < sizeof parts / sizeof *parts; k++) {
        *parts[k].to = (float *)(memory + used);
        used += (parts[k].count * sizeof(float) + 63) / 64 * 64;
    }
    return used;
}

/* The next run of px of row y, from `run->to` on, in or `grown` px around blocks that move. Begin with {0, 0}. */
typedef struct {
    int from, to;
} Run;

INLINE int next(Run *run, const unsigned char *moves, int h, int w, int y, int grown)
{
    if (run->to >= w)
        return 0;
    int columns = (w - 1) / COLUMNS + 1;
    const unsigned char *above = moves + (size_t)(most(y - grown, 0) / ROWS) * columns;
    const unsigned char *below = moves + (size_t)(least(y + grown, h - 1) / ROWS) * columns;
    int k = run->to ? (run->to - grown - 1) / COLUMNS + 1 : 0;
    while (k < columns && !(above[k] | below[k]))
        k++;
    if (k >= columns)
        return 0;
    run->from = most(k * COLUMNS - grown, run->to);
    while (k < columns && above[k] | below[k])
        k++;
    run->to = least(k * COLUMNS + grown, w);
    return 1;
}

/* Flows (4, h, w; px) with rows and planes that far apart. */
typedef struct {
    const float *first;
    size_t row, plane;
} Flows;

/* Whether (x, y) lies outside of a plane of h x w, by more than a margin. */
INLINE int outside(float x, float y, int h, int w, float margin)
{
    return (x < -margin) | (x > (float)(w - 1) + margin) | (y < -margin) | (y > (float)(h - 1) + margin);
}

/* e = a - b and the mean a, b would have at t, both padded by 1, in what moves and `grown` px around it. With a mean e is
   OUTSIDE more where one of the two lies outside. */
INLINE void compare(In y0, In y1, Flows flow, int h, int w, float late, int grown, Room *r, Out e, Out mean)
{
    static const float one[2] = {1.0f, 1.0f};
    for (int y = 0; y < h; y++)
        for (Run s = {0, 0}; next(&s, r->moves, h, w, y, grown);) {
            int count = s.to - s.from;
            In f = flow.first + y * flow.row + s.from, g = f + 2 * flow.plane;
            Out a = r->row[0], b = r->row[1], d = e + (size_t)(y + 1) * (w + 2) + 1 + s.from;
            warp_row(y0, h, w, w, s.from, y, f, f + flow.plane, one, count, r->at, a);
            warp_row(y1, h, w, w, s.from, y, g, g + flow.plane, one, count, r->at, b);
            for (int x = 0; x < count; x++)
                d[x] = a[x] - b[x];
            if (mean) {
                Out m = mean + (size_t)(y + 1) * (w + 2) + 1 + s.from;
                for (int x = 0; x < count; x++)
                    m[x] = b[x] + late * d[x];
                In fy = f + flow.plane, gy = g + flow.plane;
                for (int x = 0; x < count; x++) {
                    float here = (float)(s.from + x), row = (float)y;
                    int early = outside(here + f[x], row + fy[x], h, w, MARGIN);
                    d[x] += early | outside(here + g[x], row + gy[x], h, w, MARGIN) ? OUTSIDE : 0.0f;
                }
            }
        }
    repeat_border(e, h, w, 1);
    if (mean)
        repeat_border(mean, h, w, 1);
}

/* The say of each pixel, and the sum of those around it. */
INLINE void shares(In e, int h, int w, float doubt, Room *r)
{
    int wide = w + 4;
    float scale = 1.0f / (NEAR * doubt);
    for (int y = 0; y < h; y++)
        for (Run s = {0, 0}; next(&s, r->moves, h, w, y, 0);) {
            In d = e + (size_t)(y + 1) * (w + 2) + 1 + s.from;
            Out p = r->apart + (size_t)(y + 2) * wide + 2 + s.from;
            for (int x = 0; x < s.to - s.from; x++)
                p[x] = fabsf(d[x]);
        }
    repeat_border(r->apart, h, w, 2);
    for (int y = 0; y < h; y++)
        for (Run s = {0, 0}; next(&s, r->moves, h, w, y, 0);) {
            Out p = r->share + (size_t)(y + 2) * wide + 2 + s.from;
            sum_row(r->apart + (size_t)y * wide + s.from, wide, s.to - s.from, 2, r->row[0], p);
            for (int x = 0; x < s.to - s.from; x++)
                p[x] = 1.0f / (1.0f + p[x] * scale * (p[x] * scale));
        }
    repeat_border(r->share, h, w, 2);
    for (int y = 0; y < h; y++)
        for (Run s = {0, 0}; next(&s, r->moves, h, w, y, 0);)
            sum_row(r->share + (size_t)y * wide + s.from, wide, s.to - s.from, 2, r->row[0],
                    r->total + (size_t)y * w + s.from);
}

/* Weighted products of gradients and difference for a run of row y: xx, xy, yy, xe, ye, each padded by n. What one of the
   frames does not show has none. */
INLINE void moments(int y, int w, int n, float floor, float edges, Run s, const Room *r, float *out)
{
    int wide = w + 2, span = w + 2 * n, count = s.to - s.from;
    size_t at = (size_t)(y + 1) * wide + 1 + s.from;
    In e = r->e + at, gx = r->gx + at, gy = r->gy + at;
    Out m0 = out + n + s.from, m1 = m0 + span, m2 = m1 + span, m3 = m2 + span, m4 = m3 + span;
#pragma GCC ivdep
    for (int x = 0; x < count; x++) {
        float d = e[x], ix = gx[x], iy = gy[x], k = 1.0f / sqrtf(d * d + floor);
        float ex = 0.5f * (e[x + 1] - e[x - 1]), ey = 0.5f * (e[x + wide] - e[x - wide]);
        float xx = 0.5f * (gx[x + 1] - gx[x - 1]), xy = 0.5f * (gx[x + wide] - gx[x - wide]);
        float yy = 0.5f * (gy[x + wide] - gy[x - wide]), j = edges / sqrtf(ex * ex + ey * ey + floor);
        float shown = fabsf(d) < 0.5f * OUTSIDE ? 1.0f : 0.0f;
        k *= shown;
        j *= shown;
        m0[x] = k * ix * ix + j * (xx * xx + xy * xy);
        m1[x] = k * ix * iy + j * (xx * xy + xy * yy);
        m2[x] = k * iy * iy + j * (xy * xy + yy * yy);
        m3[x] = k * ix * d + j * (xx * ex + xy * ey);
        m4[x] = k * iy * d + j * (xy * ex + yy * ey);
    }
    for (int k = 0; k < 5; k++)
        for (int i = 0; i < n; i++) {
            float *m = out + k * span;
            if (s.from == 0)
                m[i] = m[n];
            if (s.to == w)
                m[w + n + i] = m[w + n - 1];
        }
}

/* Sums of the moments over the window around a run of row y: `rows` are those of y - n to y + n. */
INLINE void window_sums(const float *const *rows, int w, int n, Run s, Out column, Out out)
{
    int span = w + 2 * n, count = s.to - s.from;
    for (int k = 0; k < 5; k++) {
        size_t at = (size_t)k * span + s.from;
        In a = rows[0] + at, b = rows[1] + at, c = rows[2] + at;
        Out to = out + (size_t)k * w;
        if (n == 1) {
            for (int x = 0; x < count + 2; x++)
                column[x] = a[x] + b[x] + c[x];
            for (int x = 0; x < count; x++)
                to[x] = column[x] + column[x + 1] + column[x + 2];
        } else {
            In d = rows[3] + at, e = rows[4] + at;
            for (int x = 0; x < count + 4; x++)
                column[x] = a[x] + b[x] + c[x] + d[x] + e[x];
            for (int x = 0; x < count; x++)
                to[x] = column[x] + column[x + 1] + column[x + 2] + column[x + 3] + column[x + 4];
        }
    }
}

/* What a sweep needs: u = rest + (diagonal, cross) * (sum of the shares of its neighbours). */
INLINE void solve_row(In flow, size_t plane, size_t at, int w, int count, float smooth, int shared, Room *r)
{
    In f0 = flow + at, f1 = f0 + plane, f2 = f1 + plane, f3 = f2 + plane, total = r->total + at;
    In s0 = r->sums, s1 = s0 + w, s2 = s1 + w, s3 = s2 + w, s4 = s3 + w;
    Out vx = r->v + at, vy = vx + plane, rx = r->rest + at, ry = rx + plane;
    Out dx = r->diagonal + at, dy = dx + plane, cross = r->cross + at;
#pragma GCC ivdep
    for (int i = 0; i < count; i++) {
        float xx = s0[i] + smooth, xy = s1[i], yy = s2[i] + smooth, xe = s3[i], ye = s4[i];
        float scale = 1.0f / (xx * yy - xy * xy), share = smooth / (shared ? total[i] : NEAR);
        float a = f2[i] - f0[i], b = f3[i] - f1[i], p = yy * scale, q = xx * scale, c = -xy * scale;
        vx[i] = a;
        vy[i] = b;
        rx[i] = a + (p * xe + c * ye) - smooth * (p * a + c * b);
        ry[i] = b + (q * ye + c * xe) - smooth * (q * b + c * a);
        dx[i] = p * share;
        dy[i] = q * share;
        cross[i] = c * share;
    }
}

/* Gradients of the mean, where the equations need them. */
INLINE void gradients(int h, int w, int n, Room *r)
{
    int wide = w + 2;
    for (int y = 0; y < h; y++)
        for (Run s = {0, 0}; next(&s, r->moves, h, w, y, n + 1);) {
            size_t at = (size_t)(y + 1) * wide + 1 + s.from;
            In m = r->mean + at;
            Out gx = r->gx + at, gy = r->gy + at;
            for (int x = 0; x < s.to - s.from; x++)
                gx[x] = 0.5f * (m[x + 1] - m[x - 1]);
            for (int x = 0; x < s.to - s.from; x++)
                gy[x] = 0.5f * (m[x + wide] - m[x - wide]);
        }
    repeat_border(r->gx, h, w, 1);
    repeat_border(r->gy, h, w, 1);
}

/* One linearisation's equations for row y; moments of the rows before `ready` are there. */
INLINE int equations(In flow, int h, int w, int y, int ready, const Alignment *how, Room *r)
{
    int n = how->window;
    Run s = {0, 0};
    if (!next(&s, r->moves, h, w, y, 0))
        return ready;
    const float *rows[5];
    for (ready = most(ready, y - n); ready <= least(y + n, h - 1); ready++)
        for (Run near = {0, 0}; next(&near, r->moves, h, w, ready, n);)
            moments(ready, w, n, how->floor, how->edges, near, r, r->moments[ready % 5]);
    for (int k = -n; k <= n; k++)
        rows[k + n] = r->moments[most(least(y + k, h - 1), 0) % 5];
    do {
        window_sums(rows, w, n, s, r->row[0], r->sums);
        solve_row(flow, (size_t)h * w, (size_t)y * w + s.from, w, s.to - s.from, how->smooth, how->doubt > 0, r);
    } while (next(&s, r->moves, h, w, y, 0));
    return ready;
}

/* What `count` px, whose velocity is (u, v), add to the sums of their neighbours; the first is at `at` of padded planes. */
INLINE void share_row(In u, In v, size_t at, size_t padded, int count, int shared, const Room *r, float *to)
{
    In share = r->share + at;
    Out a = to + at, b = a + padded;
#pragma GCC ivdep
    for (int x = 0; x < count; x++) {
        a[x] = u[x] * (shared ? share[x] : 1.0f);
        b[x] = v[x] * (shared ? share[x] : 1.0f);
    }
}

/* Fill what row y of a plane of h x w is padded by, 2 px, and what lies beyond it if it is the first or the last one. */
INLINE void repeat_row(float *plane, int h, int w, int y)
{
    size_t wide = w + 4;
    float *row = plane + (y + 2) * wide;
    row[0] = row[1] = row[2];
    row[w + 2] = row[w + 3] = row[w + 1];
    for (int k = 1; y == 0 && k <= 2; k++)
        memcpy(row - k * wide, row, wide * sizeof(float));
    for (int k = 1; y == h - 1 && k <= 2; k++)
        memcpy(row + k * wide, row, wide * sizeof(float));
}

/* A Jacobi sweep of row y, from what is shared at `from` to there, or the last one to u. */
INLINE void sweep_row(int h, int w, int y, int last, int shared, float *from, float *to, Room *r)
{
    size_t plane = (size_t)h * w, padded = (size_t)(h + 4) * (w + 4);
    int wide = w + 4;
    for (Run s = {0, 0}; next(&s, r->moves, h, w, y, 0);) {
        size_t at = (size_t)y * w + s.from, corner = (size_t)y * wide + s.from;
        int count = s.to - s.from;
        Out near = r->row[1], far = r->row[2], u = last ? r->u + at : r->row[3];
        Out v = last ? r->u + at + plane : r->row[4];
        In rx = r->rest + at, ry = rx + plane, dx = r->diagonal + at, dy = dx + plane, cross = r->cross + at;
        sum_row(from + corner, wide, count, 2, r->row[0], near);
        sum_row(from + padded + corner, wide, count, 2, r->row[0], far);
#pragma GCC ivdep
        for (int x = 0; x < count; x++) {
            u[x] = rx[x] + dx[x] * near[x] + cross[x] * far[x];
            v[x] = ry[x] + dy[x] * far[x] + cross[x] * near[x];
        }
        if (!last)
            share_row(u, v, corner + 2 * wide + 2, padded, count, shared, r, to);
    }
    if (last)
        return;
    repeat_row(to, h, w, y);
    repeat_row(to + padded, h, w, y);
}

/* One linearisation: its equations and Jacobi sweeps of the velocity from v to u. Between sweeps only u times the share of
   each pixel is kept, padded by 2. Every sweep follows two rows behind the one before, all of them within a cache. */
INLINE void solve(In flow, int h, int w, const Alignment *how, Room *r)
{
    size_t plane = (size_t)h * w, padded = (size_t)(h + 4) * (w + 4);
    int shared = how->doubt > 0, ready = 0;
    gradients(h, w, how->window, r);
    for (int step = 0; step < h + 2 * how->sweeps; step++) {
        if (step < h) {
            ready = equations(flow, h, w, step, ready, how, r);
            for (Run s = {0, 0}; next(&s, r->moves, h, w, step, 0);) {
                In v = r->v + (size_t)step * w + s.from;
                size_t at = (size_t)(step + 2) * (w + 4) + 2 + s.from;
                share_row(v, v + plane, at, padded, s.to - s.from, shared, r, r->shared[0]);
            }
            repeat_row(r->shared[0], h, w, step);
            repeat_row(r->shared[0] + padded, h, w, step);
        }
        for (int k = 0; k < how->sweeps; k++) {
            int y = step - 2 * (k + 1);
            if (y >= 0 && y < h)
                sweep_row(h, w, y, k + 1 == how->sweeps, shared, r->shared[k % 2], r->shared[(k + 1) % 2], r);
        }
    }
}

/* Both flows (x or y) of `count` px after their velocity has changed by d, by `limit` at most; `largest` learns of it. */
INLINE void move(In u, In v, int count, float late, float limit, float *flow, size_t plane, Out largest)
{
    Out back = flow, on = flow + 2 * plane;
#pragma GCC ivdep
    for (int x = 0; x < count; x++) {
        float d = clamped(u[x] - v[x], -limit, limit);
        back[x] -= late * d;
        on[x] += (1.0f - late) * d;
        largest[x] = fmaxf(largest[x], fabsf(d));
    }
}

INLINE float middle_of(float a, float b, float c) { return fmaxf(fminf(a, b), fminf(fmaxf(a, b), c)); }

/* Medians over squares of 3 px of a plane padded by 1. */
INLINE void medians(In padded, int h, int w, Room *r, Out out)
{
    int wide = w + 2;
    Out low = r->row[0], middle = r->row[1], high = r->row[2];
    for (int y = 0; y < h; y++) {
        In p = padded + (size_t)y * wide;
        for (int x = 0; x < wide; x++) {
            float a = p[x], b = p[x + wide], c = p[x + 2 * wide], less = fminf(a, b), more = fmaxf(a, b);
            low[x] = fminf(less, c);
            middle[x] = fmaxf(less, fminf(more, c));
            high[x] = fmaxf(more, c);
        }
        for (int x = 0; x < w; x++) {
            float a = fmaxf(fmaxf(low[x], low[x + 1]), low[x + 2]);
            float c = fminf(fminf(high[x], high[x + 1]), high[x + 2]);
            out[(size_t)y * w + x] = middle_of(a, middle_of(middle[x], middle[x + 1], middle[x + 2]), c);
        }
    }
}

/* Velocities u as means of nine, TAPS px apart, that count for their trust and less the more they differ from the middle one.
   The share of a pixel is 1 / (1 + (d / doubt)^2), its trust 1 / (1 + (d / trust)^2). */
INLINE void bilateral(int h, int w, const Alignment *how, Room *r)
{
    int wide = w + 2 * TAPS;
    size_t plane = (size_t)h * w, padded = (size_t)(h + 2 * TAPS) * wide;
    float stricter = how->doubt * how->doubt / (how->trust * how->trust);
    float *share = r->share, *own = r->shared[0];
    for (size_t i = 0; i < padded; i++)
        share[i] = share[i] / (share[i] + (1.0f - share[i]) * stricter);
    for (int c = 0; c < 2; c++) {
        for (int y = 0; y < h; y++)
            memcpy(own + c * padded + (size_t)(y + TAPS) * wide + TAPS, r->u + c * plane + (size_t)y * w, w * sizeof(float));
        repeat_border(own + c * padded, h, w, TAPS);
    }
    for (int y = 0; y < h; y++) {
        size_t here = (size_t)(y + TAPS) * wide + TAPS;
        In own_x = own + here, own_y = own_x + padded;
        Out sum_x = r->u + (size_t)y * w, sum_y = sum_x + plane, total = r->row[0];
        memset(sum_x, 0, w * sizeof(float));
        memset(sum_y, 0, w * sizeof(float));
        memset(total, 0, w * sizeof(float));
        for (int k = 0; k < 9; k++) {
            ptrdiff_t away = (k / 3 - 1) * TAPS * (ptrdiff_t)wide + (k % 3 - 1) * TAPS;
            In x_there = own_x + away, y_there = own_y + away, trust = share + here + away;
#pragma GCC ivdep
            for (int x = 0; x < w; x++) {
                float dx = x_there[x] - own_x[x], dy = y_there[x] - own_y[x], far = 1.0f + dx * dx + dy * dy;
                float weight = trust[x] / (far * far);
                sum_x[x] += weight * x_there[x];
                sum_y[x] += weight * y_there[x];
                total[x] += weight;
            }
        }
        for (int x = 0; x < w; x++)
            total[x] = 1.0f / total[x];
        for (int x = 0; x < w; x++)
            sum_x[x] *= total[x];
        for (int x = 0; x < w; x++)
            sum_y[x] *= total[x];
    }
}

INLINE void smooth_velocity(float *flow, int h, int w, float late, const Alignment *how, Room *r)
{
    size_t plane = (size_t)h * w;
    for (size_t i = 0; i < 2 * plane; i++)
        r->u[i] = r->v[i] = flow[2 * plane + i] - flow[i];
    for (int k = 0; k < 2 * how->medians; k++) {
        float *u = r->u + (k % 2) * plane;
        for (int y = 0; y < h; y++)
            memcpy(r->e + (size_t)(y + 1) * (w + 2) + 1, u + (size_t)y * w, w * sizeof(float));
        repeat_border(r->e, h, w, 1);
        medians(r->e, h, w, r, u);
    }
    if (how->trust > 0)
        bilateral(h, w, how, r);
    for (size_t at = 0; at < 2 * plane; at += w)
        move(r->u + at, r->v + at, w, late, FLT_MAX, flow + at, plane, r->row[0]);
}

/* The flows after a step. Blocks whose velocity it changed by `still` at most come to rest. How many still move. */
INLINE int moved(float *flow, int h, int w, float late, const Alignment *how, Room *r)
{
    int columns = (w - 1) / COLUMNS + 1, count = 0;
    size_t plane = (size_t)h * w, padded = (size_t)(h + 4) * (w + 4);
    for (int top = 0; top < h; top += ROWS) {
        unsigned char *moves = r->moves + (size_t)(top / ROWS) * columns;
        int end = least(top + ROWS, h);
        memset(r->row[0], 0, w * sizeof(float));
        for (int y = top; y < end; y++)
            for (Run s = {0, 0}; next(&s, r->moves, h, w, y, 0);)
                for (int c = 0; c < 2; c++) {
                    size_t at = c * plane + (size_t)y * w + s.from;
                    In u = r->u + at, v = r->v + at;
                    move(u, v, s.to - s.from, late, how->most, flow + at, plane, r->row[0] + s.from);
                }
        for (int k = 0; k < columns; k++) {
            int from = k * COLUMNS, width = least(COLUMNS, w - from);
            float largest = 0.0f;
            if (!moves[k])
                continue;
            for (int x = from; x < from + width; x++)
                largest = fmaxf(largest, r->row[0][x]);
            moves[k] = largest > how->still;
            count += moves[k];
            for (int y = top; !moves[k] && y < end; y++) { /* from now on its neighbours see what it is now */
                In f = flow + (size_t)y * w + from;
                Out u = r->row[1], v = r->row[2];
                for (int x = 0; x < width; x++)
                    u[x] = f[2 * plane + x] - f[x];
                for (int x = 0; x < width; x++)
                    v[x] = f[3 * plane + x] - f[plane + x];
                for (int c = 0; c < 2; c++)
                    share_row(u, v, (size_t)(y + 2) * (w + 4) + 2 + from, padded, width, how->doubt > 0, r, r->shared[c]);
            }
        }
    }
    return count;
}

/* Align the flow (4, h, w; px) in place on the brightness (h, w) of both frames. 0, or 1 without memory. */
KERNEL int vfi_align(In y0, In y1, int h, int w, float late, float *flow, const Alignment *how)
{
    Room r;
    char *memory = malloc(room(&r, NULL, h, w) + 64);
    if (!memory)
        return 1;
    room(&r, memory + (64 - (uintptr_t)memory % 64) % 64, h, w);
    memset(r.moves, 1, (size_t)(h / ROWS + 1) * (w / COLUMNS + 1));
    int shared = how->doubt > 0, moving = 1;
    for (int k = 0; k < how->steps && moving; k++) {
        compare(y0, y1, (Flows){flow, w, (size_t)h * w}, h, w, late, 0, &r, r.e, r.mean);
        if (shared)
            shares(r.e, h, w, how->doubt, &r);
        solve(flow, h, w, how, &r);
        moving = moved(flow, h, w, late, how, &r);
    }
    smooth_velocity(flow, h, w, late, how, &r);
    free(memory);
    return 0;
}

/* How much the warped frames and their gradients differ in what moves, summed over 5 x 5 px. Without a flow: as they are. */
INLINE void apart(In y0, In y1, Flows flow, int h, int w, Room *r, Out out)
{
    int wide = w + 2;
    if (flow.first)
        compare(y0, y1, flow, h, w, 0.0f, 3, r, r->e, NULL);
    else {
        for (int y = 0; y < h; y++)
            for (Run s = {0, 0}; next(&s, r->moves, h, w, y, 3);) {
                In a = y0 + (size_t)y * w + s.from, b = y1 + (size_t)y * w + s.from;
                Out e = r->e + (size_t)(y + 1) * wide + 1 + s.from;
                for (int x = 0; x < s.to - s.from; x++)
                    e[x] = a[x] - b[x];
            }
        repeat_border(r->e, h, w, 1);
    }
    for (int y = 0; y < h; y++)
        for (Run s = {0, 0}; next(&s, r->moves, h, w, y, 2);) {
            In e = r->e + (size_t)(y + 1) * wide + 1 + s.from;
            Out p = r->apart + (size_t)(y + 2) * (w + 4) + 2 + s.from;
            for (int x = 0; x < s.to - s.from; x++)
                p[x] = fabsf(e[x]) + 0.5f * (fabsf(e[x + 1] - e[x - 1]) + fabsf(e[x + wide] - e[x - wide]));
        }
    repeat_border(r->apart, h, w, 2);
    for (int y = 0; y < h; y++)
        for (Run s = {0, 0}; next(&s, r->moves, h, w, y, 0);)
            sum_row(r->apart + (size_t)y * (w + 4) + s.from, w + 4, s.to - s.from, 2, r->row[0], out + (size_t)y * w + s.from);
}

/* By how much (px, of x or y) `count` px of two flows are apart; of one and none if `there` is NULL. */
INLINE void changes(In here, const float *there, size_t plane, int count, Out out)
{
    memset(out, 0, count * sizeof(float));
    for (int c = 0; c < 4; c++) {
        In a = here + c * plane;
        const float *b = there + c * plane;
        for (int x = 0; x < count; x++)
            out[x] = fmaxf(out[x], fabsf(there ? a[x] - b[x] : a[x]));
    }
}

/* `flow` (4, h, w) with `count` other flows tried as well, in place. Rows and planes of the others and of `own`, which is the
   flow as it was, are `wide` and `plane` apart; one that is NULL is no motion. Another flow has to be more than `nearest` px
   away, and to leave less than `share` of the difference. `marks` are 1 + `count` times as many bytes as there are blocks. */
INLINE void try_flows(In y0, In y1, int h, int w, float *flow, const float *own, const float *const *others, int count,
                      size_t wide, size_t plane, float share, float nearest, Room *r, unsigned char *marks)
{
    size_t columns = (w - 1) / COLUMNS + 1, blocks = (h / ROWS + 1) * columns, whole = (size_t)h * w;
    unsigned char *any = marks, *tried = marks + blocks;
    float *left = r->rest, *now = r->total;
    memset(marks, 0, (1 + count) * blocks);
    for (int k = 0; k < count; k++)
        for (int y = 0; y < h; y++) {
            size_t row = y / ROWS * columns;
            changes(own + y * wide, others[k] ? others[k] + y * wide : NULL, plane, w, r->row[0]);
            for (int block = 0; block < (int)columns; block++) {
                float largest = 0.0f;
                for (int x = block * COLUMNS; x < least((block + 1) * COLUMNS, w); x++)
                    largest = fmaxf(largest, r->row[0][x]);
                tried[k * blocks + row + block] |= largest > nearest;
                any[row + block] |= largest > nearest;
            }
        }
    r->moves = any;
    apart(y0, y1, (Flows){own, wide, plane}, h, w, r, left);
    for (int k = 0; k < count; k++) {
        r->moves = tried + k * blocks;
        apart(y0, y1, (Flows){others[k], wide, plane}, h, w, r, now);
        for (int y = 0; y < h; y++)
            for (Run s = {0, 0}; next(&s, r->moves, h, w, y, 0);) {
                size_t at = (size_t)y * w + s.from, from = y * wide + s.from;
                int run = s.to - s.from;
                Out change = r->row[0], best = left + at, better = r->row[1];
                In new = now + at;
                changes(own + from, others[k] ? others[k] + from : NULL, plane, run, change);
                for (int x = 0; x < run; x++)
                    better[x] = change[x] > nearest && new[x] < share * best[x] ? 1.0f : 0.0f;
                for (int x = 0; x < run; x++)
                    best[x] = better[x] > 0.0f ? new[x] : best[x];
                for (int c = 0; c < 4; c++) {
                    const float *other = others[k] ? others[k] + c * plane + from : NULL;
                    Out out = flow + c * whole + at;
                    for (int x = 0; x < run; x++)
                        out[x] = better[x] > 0.0f ? (other ? other[x] : 0.0f) : out[x];
                }
            }
    }
}

#define SAMPLES 24 /* of the shorter side, at least, that are asked what most of a frame does */

/* What most of a velocity follows, at t = 0 to 1 of both flows, whose rows and planes are `wide` and `plane` apart: of x and of
   y, what they are in the middle, and by how much they grow over the width and over the height. See model/propagate.py. */
INLINE void most_of(In flow, size_t wide, size_t plane, int h, int w, float m[2][3])
{
    static const float far[] = {HUGE_VALF, 4.0f, 2.0f, 1.0f, 0.5f, 0.25f};
    int step = most(least(h, w) / SAMPLES, 1);
    memset(m, 0, 6 * sizeof(float));
    for (int k = 0; k < 6; k++) {
        double a[3][5] = {{1e-4}, {0, 1e-4}, {0, 0, 1e-4}};
        for (int y = step / 2; y < h; y += step)
            for (int x = step / 2; x < w; x += step) {
                size_t at = y * wide + x;
                float p[3] = {1.0f, ((float)x + 0.5f) / (float)w - 0.5f, ((float)y + 0.5f) / (float)h - 0.5f}, off = 0.0f;
                float v[2] = {flow[2 * plane + at] - flow[at], flow[3 * plane + at] - flow[plane + at]};
                for (int c = 0; c < 2; c++) {
                    float e = (v[c] - m[c][0] - m[c][1] * p[1] - m[c][2] * p[2]) / far[k];
                    off += e * e;
                }
                float weight = 1.0f / ((1.0f + off) * (1.0f + off));
                for (int i = 0; i < 3; i++) {
                    for (int j = 0; j < 3; j++)
                        a[i][j] += weight * p[i] * p[j];
                    for (int c = 0; c < 2; c++)
                        a[i][3 + c] += weight * p[i] * v[c];
                }
            }
        for (int i = 0; i < 3; i++) /* Gauss and Jordan: the matrix is symmetric and positive */
            for (int j = 0; j < 3; j++) {
                double part = a[j][i] / a[i][i];
                for (int c = 4; j != i && c >= i; c--)
                    a[j][c] -= part * a[i][c];
            }
        for (int c = 0; c < 2; c++)
            for (int i = 0; i < 3; i++)
                m[c][i] = (float)(a[i][3 + c] / a[i][i]);
    }
}

/* Both flows (4, h, w) at time `late` of what most of the frame follows; 0 if that is nearly none. */
INLINE int of_most(In flow, size_t wide, size_t plane, int h, int w, float late, float nearest, float *out)
{
    float m[2][3], fastest = 0.0f;
    most_of(flow, wide, plane, h, w, m);
    for (int c = 0; c < 2; c++)
        fastest = fmaxf(fastest, fabsf(m[c][0]) + 0.5f * (fabsf(m[c][1]) + fabsf(m[c][2])));
    if (fastest < nearest)
        return 0;
    for (int c = 0; c < 4; c++) {
        In o = m[c % 2];
        float part = c < 2 ? -late : 1.0f - late;
        for (int y = 0; y < h; y++) {
            float first = part * (o[0] + o[2] * (((float)y + 0.5f) / (float)h - 0.5f) + o[1] * (0.5f / (float)w - 0.5f));
            Out to = out + c * plane + y * wide;
            for (int x = 0; x < w; x++)
                to[x] = first + part * o[1] / (float)w * (float)x;
        }
    }
    return 1;
}

/* The flow (4, h, w) with those of the pixels `reach` px away tried as well, in place, and with `simpler` no motion and, at
   time `late`, that of most of the frame: see try_flows. 0, or 1 without memory. */
KERNEL int vfi_propagate(In y0, In y1, int h, int w, float *flow, int reach, int simpler, float late, float share,
                         float nearest)
{
    static const int places[4][2] = {{0, 1}, {0, -1}, {1, 0}, {-1, 0}};
    Room r;
    size_t plane = (size_t)h * w, wide = w + 2 * reach, padded = (h + 2 * reach) * wide, rooms = room(&r, NULL, h, w);
    size_t blocks = (h / ROWS + 1) * (size_t)((w - 1) / COLUMNS + 1);
    char *memory = malloc(64 + rooms + (simpler ? 8 : 4) * padded * sizeof(float) + 7 * blocks);
    if (!memory)
        return 1;
    char *aligned = memory + (64 - (uintptr_t)memory % 64) % 64;
    room(&r, aligned, h, w);
    float *before = (float *)(aligned + rooms), *first = before + reach * wide + reach;
    float *affine = simpler ? first + 4 * padded : NULL;
    const float *others[6] = {[5] = affine};
    for (int c = 0; c < 4; c++) {
        for (int y = 0; y < h; y++)
            memcpy(first + c * padded + y * wide, flow + c * plane + (size_t)y * w, w * sizeof(float));
        repeat_border(before + c * padded, h, w, reach);
        others[c] = first + reach * (places[c][0] * (ptrdiff_t)wide + places[c][1]);
    }
    int count = !simpler ? 4 : of_most(first, wide, padded, h, w, late, nearest, affine) ? 6 : 5;
    unsigned char *marks = (unsigned char *)(before + (simpler ? 8 : 4) * padded);
    try_flows(y0, y1, h, w, flow, first, others, count, wide, padded, share, nearest, &r, marks);
    free(memory);
    return 0;
}

/* `out` (4, h, w) is the flow with `count` others (4, h, w), one after the other, tried as well: see try_flows. 0, or 1
   without memory. */
KERNEL int vfi_try_flows(In y0, In y1, int h, int w, const float *flow, const float *others, int count, float share,
                         float nearest, float *out)
{
    Room r;
    size_t plane = (size_t)h * w, rooms = room(&r, NULL, h, w);
    size_t blocks = (h / ROWS + 1) * (size_t)((w - 1) / COLUMNS + 1);
    char *memory = malloc(64 + rooms + (1 + count) * blocks);
    if (!memory)
        return 1;
    char *aligned = memory + (64 - (uintptr_t)memory % 64) % 64;
    room(&r, aligned, h, w);
    const float *each[count];
    for (int k = 0; k < count; k++)
        each[k] = others + 4 * k * plane;
    memcpy(out, flow, 4 * plane * sizeof(float));
    try_flows(y0, y1, h, w, out, flow, each, count, w, plane, share, nearest, &r, (unsigned char *)(aligned + rooms));
    free(memory);
    return 0;
}

/* `planes` planes of h x w, one after the other, warped bilinearly by one flow (2, h, w) times `unit` (x, y; px). 0, or 1
   without memory. */
KERNEL int vfi_warp(In image, int planes, int h, int w, In flow, const float *unit, Out out)
{
    float *memory = malloc(4 * (size_t)w * sizeof(float));
    if (!memory)
        return 1;
    Places at = {(int *)memory, (int *)memory + w, memory + 2 * (size_t)w, memory + 3 * (size_t)w};
    size_t plane = (size_t)h * w;
    for (int k = 0; k < planes; k++)
        for (int y = 0; y < h; y++) {
            In f = flow + (size_t)y * w;
            warp_row(image + k * plane, h, w, w, 0, y, f, f + plane, unit, w, at, out + k * plane + (size_t)y * w);
        }
    free(memory);
    return 0;
}

/* Sums over squares of 2n + 1 px (n is 1 or 2) of `planes` planes of h x w. 0, or 1 without memory. */
KERNEL int vfi_sums(In image, int planes, int h, int w, int n, Out out)
{
    int wide = w + 2 * n;
    float *padded = malloc(((size_t)(h + 2 * n) * wide + wide) * sizeof(float)), *column = padded + (size_t)(h + 2 * n) * wide;
    if (!padded)
        return 1;
    for (int k = 0; k < planes; k++) {
        for (int y = 0; y < h; y++)
            memcpy(padded + (size_t)(y + n) * wide + n, image + ((size_t)k * h + y) * w, w * sizeof(float));
        repeat_border(padded, h, w, n);
        for (int y = 0; y < h; y++)
            sum_row(padded + (size_t)y * wide, wide, w, n, column, out + ((size_t)k * h + y) * w);
    }
    free(padded);
    return 0;
}

/* `here`, warped to the frame between by its flow, minus `there`, a frame beyond it, followed along the motion there: `step`
   (2, h, w; px) over the time between those two, which is `span` in that of the pair whose flows (4, h, w) are given, in px
   once multiplied by `unit`. `late` tells the right frame from the left one. `far` is how far apart are the rows of `here`,
   `there`, `step` and the flows, and the planes of the last two. Where one of the frames between which lies the pair shows
   nothing, by more than `margin` px, it is `wrong` for that one and 0 for the other. 0, or 1 without memory. */
KERNEL int vfi_beyond(In here, In there, In step, In flow, const int64_t *far, int h, int w, float unit, float span, int late,
                      float margin, float wrong, Out out)
{
    static const float one[2] = {1.0f, 1.0f};
    float *memory = malloc(12 * (size_t)w * sizeof(float)), *row[8];
    if (!memory)
        return 1;
    Places at = {(int *)memory, (int *)memory + w, memory + 2 * (size_t)w, memory + 3 * (size_t)w};
    for (int k = 0; k < 8; k++)
        row[k] = memory + (4 + k) * (size_t)w;
    float sign = late ? 1.0f : -1.0f;
    for (int y = 0; y < h; y++) {
        In f = flow + y * far[3], other = f + (late ? 0 : 2) * far[5];
        Out *to = row + 6;
        for (int k = 0; k < 2; k++) { /* where the thing is halfway to the frame beyond, at its own speed */
            In own = f + ((late ? 2 : 0) + k) * far[5], back = other + k * far[5];
            Out halfway = row[k], moved = to[k];
            for (int x = 0; x < w; x++) {
                moved[x] = unit * own[x];
                halfway[x] = moved[x] + 0.5f * span * (moved[x] - unit * back[x]);
            }
        }
        for (int k = 0; k < 2; k++)
            warp_row(step + k * far[4], h, w, far[2], 0, y, row[0], row[1], one, w, at, row[2 + k]);
        for (int k = 0; k < 2; k++)
            for (int x = 0; x < w; x++)
                row[2 + k][x] = to[k][x] + sign * row[2 + k][x];
        warp_row(here, h, w, far[0], 0, y, to[0], to[1], one, w, at, row[4]);
        warp_row(there, h, w, far[1], 0, y, row[2], row[3], one, w, at, row[5]);
        for (int x = 0; x < w; x++) {
            float apart = row[4][x] - row[5][x], px = (float)x, py = (float)y;
            int own = outside(px + to[0][x], py + to[1][x], h, w, margin);
            int back = outside(px + unit * other[x], py + unit * other[far[5] + x], h, w, margin);
            out[(size_t)y * w + x] = own == back ? apart : own ? copysignf(wrong, apart) : 0.0f;
        }
    }
    free(memory);
    return 0;
}

/* Both flows in the middle (4, h, w; px) if the motion of a pair beside lasts, from its own (4, h, w; px), which take `span`
   times as long and lie `apart` from these, in that of the pair asked for: see engine/lasting.py. 0, or 1 without memory. */
KERNEL int vfi_carried(In beside, int h, int w, float span, float apart, int rounds, Out out)
{
    size_t plane = (size_t)h * w;
    const float unit[2] = {apart, apart};
    float *memory = malloc((2 * plane + 8 * (size_t)w) * sizeof(float)), *velocity = memory + 8 * (size_t)w, *row[4];
    if (!memory)
        return 1;
    Places at = {(int *)memory, (int *)memory + w, memory + 2 * (size_t)w, memory + 3 * (size_t)w};
    for (int k = 0; k < 4; k++)
        row[k] = memory + (4 + k) * (size_t)w;
    for (size_t i = 0; i < 2 * plane; i++)
        velocity[i] = (beside[2 * plane + i] - beside[i]) / span;
    for (int y = 0; y < h; y++) {
        float *now[2] = {velocity + (size_t)y * w, velocity + plane + (size_t)y * w};
        for (int n = 0; n < rounds; n++) {
            float *next[2] = {row[n % 2 * 2], row[n % 2 * 2 + 1]};
            for (int k = 0; k < 2; k++)
                warp_row(velocity + k * plane, h, w, w, 0, y, now[0], now[1], unit, w, at, next[k]);
            now[0] = next[0], now[1] = next[1];
        }
        for (int k = 0; k < 2; k++) {
            Out back = out + k * plane + (size_t)y * w, on = back + 2 * plane;
            In v = now[k];
            for (int x = 0; x < w; x++) {
                back[x] = -0.5f * v[x];
                on[x] = 0.5f * v[x];
            }
        }
    }
    free(memory);
    return 0;
}
