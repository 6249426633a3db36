/* Alignment and propagation of flows: model/align.py and model/propagate.py say what is computed, and why. */

#include "flow.h"

const char *vfi_sources(void) { return VFI_SOURCES; }

#define NEAR 25 /* px in the square over which flow is smoothed */

typedef struct {
    int steps, sweeps, window, medians;
    float smooth, floor, edges, doubt, most; /* the constants themselves, `floor` is the noise squared; 0: none */
} Alignment;

/* Memory for one alignment, cut from one piece. */
typedef struct {
    float *e, *mean, *gx, *gy, *padded, *share, *total, *sums, *v, *u, *rest, *diagonal, *cross, *shared[2];
    float *moments[5], *row[5];
    Places at;
} Room;

static size_t room(Room *r, char *memory, int h, int w)
{
    size_t used = 0, plane = (size_t)h * w, one = (size_t)(h + 2) * (w + 2), two = (size_t)(h + 4) * (w + 4);
    struct { float **to; size_t count; } parts[] = {
        {&r->e, one}, {&r->mean, one}, {&r->gx, one}, {&r->gy, one}, {&r->padded, two}, {&r->share, plane},
        {&r->total, plane}, {&r->sums, 5 * w}, {&r->v, 2 * plane}, {&r->u, 2 * plane}, {&r->rest, 2 * plane},
        {&r->diagonal, 2 * plane}, {&r->cross, plane}, {&r->shared[0], 2 * two}, {&r->shared[1], 2 * two},
        {&r->moments[0], 5 * (w + 4)}, {&r->moments[1], 5 * (w + 4)}, {&r->moments[2], 5 * (w + 4)},
        {&r->moments[3], 5 * (w + 4)}, {&r->moments[4], 5 * (w + 4)}, {&r->row[0], w + 4}, {&r->row[1], w + 4},
        {&r->row[2], w + 4}, {&r->row[3], w + 4}, {&r->row[4], w + 4}, {&r->at.ax, w}, {&r->at.ay, w},
        {(float **)&r->at.x, w}, {(float **)&r->at.y, w},
    };
    for (size_t k = 0; k < sizeof parts / sizeof *parts; k++) {
        *parts[k].to = (float *)(memory + used);
        used += (parts[k].count * sizeof(float) + 63) / 64 * 64;
    }
    return used;
}

/* e = a - b and the mean a, b would have at t, both padded by 1. */
INLINE void compare(In y0, In y1, In flow, int h, int w, float late, Room *r, Out e, Out mean)
{
    static const float one[2] = {1.0f, 1.0f};
    size_t plane = (size_t)h * w;
    for (int y = 0; y < h; y++) {
        In f = flow + (size_t)y * w;
        Out a = r->row[0], b = r->row[1], d = e + (size_t)(y + 1) * (w + 2) + 1;
        warp_row(y0, h, w, y, f, f + plane, one, w, r->at, a);
        warp_row(y1, h, w, y, f + 2 * plane, f + 3 * plane, one, w, r->at, b);
        for (int x = 0; x < w; x++)
            d[x] = a[x] - b[x];
        if (mean) {
            Out m = mean + (size_t)(y + 1) * (w + 2) + 1;
            for (int x = 0; x < w; x++)
                m[x] = b[x] + late * d[x];
        }
    }
    repeat_border(e, h, w, 1);
    if (mean)
        repeat_border(mean, h, w, 1);
}

/* The say of each pixel, and the sum of those around it. */
INLINE void shares(In e, int h, int w, float doubt, Room *r)
{
    Out padded = r->padded, column = r->row[0];
    float scale = 1.0f / (NEAR * doubt);
    for (int y = 0; y < h; y++) {
        In d = e + (size_t)(y + 1) * (w + 2) + 1;
        Out p = padded + (size_t)(y + 2) * (w + 4) + 2;
        for (int x = 0; x < w; x++)
            p[x] = fabsf(d[x]);
    }
    repeat_border(padded, h, w, 2);
    for (int y = 0; y < h; y++) {
        Out s = r->share + (size_t)y * w;
        sum_row(padded, y, w, 2, column, s);
        for (int x = 0; x < w; x++)
            s[x] = 1.0f / (1.0f + s[x] * scale * (s[x] * scale));
    }
    for (int y = 0; y < h; y++)
        memcpy(padded + (size_t)(y + 2) * (w + 4) + 2, r->share + (size_t)y * w, w * sizeof(float));
    repeat_border(padded, h, w, 2);
    for (int y = 0; y < h; y++)
        sum_row(padded, y, w, 2, column, r->total + (size_t)y * w);
}

/* Row y of the weighted products of gradients and difference: xx, xy, yy, xe, ye, each padded by n. */
INLINE void moments(int y, int w, int n, float floor, float edges, const Room *r, float *out)
{
    int wide = w + 2, span = w + 2 * n;
    size_t at = (size_t)(y + 1) * wide + 1;
    In e = r->e + at, gx = r->gx + at, gy = r->gy + at;
    Out m0 = out + n, m1 = m0 + span, m2 = m1 + span, m3 = m2 + span, m4 = m3 + span;
#pragma GCC ivdep
    for (int x = 0; x < w; x++) {
        float d = e[x], ix = gx[x], iy = gy[x], k = 1.0f / sqrtf(d * d + floor);
        float ex = 0.5f * (e[x + 1] - e[x - 1]), ey = 0.5f * (e[x + wide] - e[x - wide]);
        float xx = 0.5f * (gx[x + 1] - gx[x - 1]), xy = 0.5f * (gx[x + wide] - gx[x - wide]);
        float yy = 0.5f * (gy[x + wide] - gy[x - wide]), j = edges / sqrtf(ex * ex + ey * ey + floor);
        m0[x] = k * ix * ix + j * (xx * xx + xy * xy);
        m1[x] = k * ix * iy + j * (xx * xy + xy * yy);
        m2[x] = k * iy * iy + j * (xy * xy + yy * yy);
        m3[x] = k * ix * d + j * (xx * ex + xy * ey);
        m4[x] = k * iy * d + j * (xy * ex + yy * ey);
    }
    for (int k = 0; k < 5; k++)
        for (int i = 0; i < n; i++) {
            float *m = out + k * span;
            m[i] = m[n];
            m[w + n + i] = m[w + n - 1];
        }
}

/* Sums of the moments over the window around row y: `rows` are those of y - n to y + n. */
INLINE void window_sums(const float *const *rows, int w, int n, Out column, Out out)
{
    int span = w + 2 * n;
    for (int k = 0; k < 5; k++) {
        In a = rows[0] + k * span, b = rows[1] + k * span, c = rows[2] + k * span;
        Out to = out + (size_t)k * w;
        if (n == 1) {
            for (int x = 0; x < span; x++)
                column[x] = a[x] + b[x] + c[x];
            for (int x = 0; x < w; x++)
                to[x] = column[x] + column[x + 1] + column[x + 2];
        } else {
            In d = rows[3] + k * span, e = rows[4] + k * span;
            for (int x = 0; x < span; x++)
                column[x] = a[x] + b[x] + c[x] + d[x] + e[x];
            for (int x = 0; x < w; x++)
                to[x] = column[x] + column[x + 1] + column[x + 2] + column[x + 3] + column[x + 4];
        }
    }
}

/* What a sweep needs: u = rest + (diagonal, cross) * (sum of the shares of its neighbours). */
INLINE void solve_row(In flow, size_t plane, size_t at, int w, float smooth, int shared, Room *r)
{
    In f0 = flow + at, f1 = f0 + plane, f2 = f1 + plane, f3 = f2 + plane, total = r->total + at;
    In s0 = r->sums, s1 = s0 + w, s2 = s1 + w, s3 = s2 + w, s4 = s3 + w;
    Out vx = r->v + at, vy = vx + plane, rx = r->rest + at, ry = rx + plane;
    Out dx = r->diagonal + at, dy = dx + plane, cross = r->cross + at;
#pragma GCC ivdep
    for (int i = 0; i < w; i++) {
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

/* One linearisation's equations. */
INLINE void solve(In flow, int h, int w, const Alignment *how, Room *r)
{
    int n = how->window, wide = w + 2, ready = 0;
    for (int y = 0; y < h; y++) {
        In m = r->mean + (size_t)(y + 1) * wide + 1;
        Out gx = r->gx + (size_t)(y + 1) * wide + 1, gy = r->gy + (size_t)(y + 1) * wide + 1;
        for (int x = 0; x < w; x++)
            gx[x] = 0.5f * (m[x + 1] - m[x - 1]);
        for (int x = 0; x < w; x++)
            gy[x] = 0.5f * (m[x + wide] - m[x - wide]);
    }
    repeat_border(r->gx, h, w, 1);
    repeat_border(r->gy, h, w, 1);
    for (int y = 0; y < h; y++) {
        const float *rows[5];
        for (; ready <= least(y + n, h - 1); ready++)
            moments(ready, w, n, how->floor, how->edges, r, r->moments[ready % 5]);
        for (int k = -n; k <= n; k++)
            rows[k + n] = r->moments[most(least(y + k, h - 1), 0) % 5];
        window_sums(rows, w, n, r->row[0], r->sums);
        solve_row(flow, (size_t)h * w, (size_t)y * w, w, how->smooth, how->doubt > 0, r);
    }
}

/* Jacobi sweeps of the velocity from v to u. Between them only u times the share of each pixel is kept, padded by 2. */
INLINE void sweep(int h, int w, int sweeps, int shared, Room *r)
{
    size_t plane = (size_t)h * w, padded = (size_t)(h + 4) * (w + 4);
    int wide = w + 4;
    for (int y = 0; y < h; y++) {
        In u = r->v + (size_t)y * w, v = u + plane, s = r->share + (size_t)y * w;
        Out a = r->shared[0] + (size_t)(y + 2) * wide + 2, b = a + padded;
        for (int x = 0; x < w; x++)
            a[x] = u[x] * (shared ? s[x] : 1.0f);
        for (int x = 0; x < w; x++)
            b[x] = v[x] * (shared ? s[x] : 1.0f);
    }
    for (int k = 0; k < sweeps; k++) {
        float *from = r->shared[k % 2], *to = r->shared[(k + 1) % 2];
        repeat_border(from, h, w, 2);
        repeat_border(from + padded, h, w, 2);
        for (int y = 0; y < h; y++) {
            size_t at = (size_t)y * w;
            Out near = r->row[1], far = r->row[2], u = k + 1 < sweeps ? r->row[3] : r->u + at;
            Out v = k + 1 < sweeps ? r->row[4] : r->u + at + plane;
            In rx = r->rest + at, ry = rx + plane, dx = r->diagonal + at, dy = dx + plane, cross = r->cross + at;
            sum_row(from, y, w, 2, r->row[0], near);
            sum_row(from + padded, y, w, 2, r->row[0], far);
#pragma GCC ivdep
            for (int x = 0; x < w; x++) {
                u[x] = rx[x] + dx[x] * near[x] + cross[x] * far[x];
                v[x] = ry[x] + dy[x] * far[x] + cross[x] * near[x];
            }
            if (k + 1 < sweeps) {
                In s = r->share + at;
                Out a = to + (size_t)(y + 2) * wide + 2, b = a + padded;
#pragma GCC ivdep
                for (int x = 0; x < w; x++) {
                    a[x] = u[x] * (shared ? s[x] : 1.0f);
                    b[x] = v[x] * (shared ? s[x] : 1.0f);
                }
            }
        }
    }
}

/* Both flows after the velocity has changed from v to u, by `limit` at most. */
INLINE void move(In u, In v, size_t plane, float late, float limit, float *flow)
{
    Out back = flow, on = flow + 2 * plane;
#pragma GCC ivdep
    for (size_t i = 0; i < 2 * plane; i++) {
        float d = clamped(u[i] - v[i], -limit, limit);
        back[i] -= late * d;
        on[i] += (1.0f - late) * d;
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

INLINE void smooth_velocity(float *flow, int h, int w, float late, int times, Room *r)
{
    size_t plane = (size_t)h * w;
    for (size_t i = 0; i < 2 * plane; i++)
        r->u[i] = r->v[i] = flow[2 * plane + i] - flow[i];
    for (int k = 0; k < 2 * times; k++) {
        float *u = r->u + (k % 2) * plane;
        for (int y = 0; y < h; y++)
            memcpy(r->e + (size_t)(y + 1) * (w + 2) + 1, u + (size_t)y * w, w * sizeof(float));
        repeat_border(r->e, h, w, 1);
        medians(r->e, h, w, r, u);
    }
    move(r->u, r->v, plane, late, FLT_MAX, flow);
}

/* Align the flow (4, h, w; px) in place on the brightness (h, w) of both frames. 0, or 1 without memory. */
KERNEL int vfi_align(In y0, In y1, int h, int w, float late, float *flow, const Alignment *how)
{
    Room r;
    size_t plane = (size_t)h * w;
    char *memory = malloc(room(&r, NULL, h, w) + 64);
    if (!memory)
        return 1;
    room(&r, memory + (64 - (uintptr_t)memory % 64) % 64, h, w);
    int shared = how->doubt > 0;
    for (int k = 0; k < how->steps; k++) {
        compare(y0, y1, flow, h, w, late, &r, r.e, r.mean);
        if (shared)
            shares(r.e, h, w, how->doubt, &r);
        solve(flow, h, w, how, &r);
        sweep(h, w, how->sweeps, shared, &r);
        move(r.u, r.v, plane, late, how->most, flow);
    }
    smooth_velocity(flow, h, w, late, how->medians, &r);
    free(memory);
    return 0;
}

/* How much the warped frames and their gradients differ, summed over 5 x 5 px. */
INLINE void apart(In y0, In y1, In flow, int h, int w, Room *r, Out out)
{
    int wide = w + 2;
    if (flow)
        compare(y0, y1, flow, h, w, 0.0f, r, r->e, NULL);
    else {
        for (int y = 0; y < h; y++)
            for (int x = 0; x < w; x++)
                r->e[(size_t)(y + 1) * wide + x + 1] = y0[(size_t)y * w + x] - y1[(size_t)y * w + x];
        repeat_border(r->e, h, w, 1);
    }
    for (int y = 0; y < h; y++) {
        In e = r->e + (size_t)(y + 1) * wide + 1;
        Out p = r->padded + (size_t)(y + 2) * (w + 4) + 2;
        for (int x = 0; x < w; x++)
            p[x] = fabsf(e[x]) + 0.5f * (fabsf(e[x + 1] - e[x - 1]) + fabsf(e[x + wide] - e[x - wide]));
    }
    repeat_border(r->padded, h, w, 2);
    for (int y = 0; y < h; y++)
        sum_row(r->padded, y, w, 2, r->row[0], out + (size_t)y * w);
}

/* The flow (4, h, w) with those of the pixels `reach` px away tried as well, and with `rest` no motion, in place. Another
   flow has to leave less than `share` of the difference. 0, or 1 without memory. */
KERNEL int vfi_propagate(In y0, In y1, int h, int w, float *flow, int reach, int rest, float share)
{
    static const int places[4][2] = {{0, 1}, {0, -1}, {1, 0}, {-1, 0}};
    Room r;
    size_t plane = (size_t)h * w, rooms = room(&r, NULL, h, w);
    char *memory = malloc(rooms + 64 + 8 * plane * sizeof(float));
    if (!memory)
        return 1;
    char *aligned = memory + (64 - (uintptr_t)memory % 64) % 64;
    room(&r, aligned, h, w);
    float *before = (float *)(aligned + rooms), *other = before + 4 * plane, *left = r.share, *now = r.total;
    memcpy(before, flow, 4 * plane * sizeof(float));
    apart(y0, y1, before, h, w, &r, left);
    for (int k = 0; k < 4 + !!rest; k++) {
        if (k < 4)
            for (int i = 0; i < 4 * h; i++) {
                int y = least(most(i % h + reach * places[k][0], 0), h - 1), dx = reach * places[k][1];
                In from = before + ((size_t)(i / h) * h + y) * w;
                Out to = other + (size_t)i * w;
                for (int x = 0; x < w; x++)
                    to[x] = from[least(most(x + dx, 0), w - 1)];
            }
        else
            memset(other, 0, 4 * plane * sizeof(float));
        apart(y0, y1, k < 4 ? other : NULL, h, w, &r, now);
        for (size_t i = 0; i < plane; i++)
            if (now[i] < share * left[i]) {
                left[i] = now[i];
                for (int c = 0; c < 4; c++)
                    flow[c * plane + i] = other[c * plane + i];
            }
    }
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
            warp_row(image + k * plane, h, w, y, f, f + plane, unit, w, at, out + k * plane + (size_t)y * w);
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
            sum_row(padded, y, w, n, column, out + ((size_t)k * h + y) * w);
    }
    free(padded);
    return 0;
}

/* `here`, warped to the frame between by its flow, minus `there`, a frame beyond it, followed along the motion there: `step`
   (2, h, w; px) over the time between those two, which is `span` in that of the pair whose flows (4, h, w; px) are given.
   `late` tells the right frame from the left one. All planes are h x w. 0, or 1 without memory. */
KERNEL int vfi_beyond(In here, In there, In step, In flow, int h, int w, float span, int late, Out out)
{
    static const float one[2] = {1.0f, 1.0f};
    size_t plane = (size_t)h * w;
    float *memory = malloc(10 * (size_t)w * sizeof(float)), *row[6];
    if (!memory)
        return 1;
    Places at = {(int *)memory, (int *)memory + w, memory + 2 * (size_t)w, memory + 3 * (size_t)w};
    for (int k = 0; k < 6; k++)
        row[k] = memory + (4 + k) * (size_t)w;
    float sign = late ? 1.0f : -1.0f;
    for (int y = 0; y < h; y++) {
        In f = flow + (size_t)y * w, to = f + (late ? 2 : 0) * plane;
        for (int k = 0; k < 2; k++) /* where the thing is halfway to the frame beyond, at its own speed */
            for (int x = 0; x < w; x++)
                row[k][x] = to[k * plane + x] + 0.5f * sign * span * (f[(2 + k) * plane + x] - f[k * plane + x]);
        for (int k = 0; k < 2; k++)
            warp_row(step + k * plane, h, w, y, row[0], row[1], one, w, at, row[2 + k]);
        for (int k = 0; k < 2; k++)
            for (int x = 0; x < w; x++)
                row[2 + k][x] = to[k * plane + x] + sign * row[2 + k][x];
        warp_row(here, h, w, y, to, to + plane, one, w, at, row[4]);
        warp_row(there, h, w, y, row[2], row[3], one, w, at, row[5]);
        for (int x = 0; x < w; x++)
            out[(size_t)y * w + x] = row[4][x] - row[5][x];
    }
    free(memory);
    return 0;
}
