/* 3 x 3 convolutions with channels last, zero outside, for networks that are small: see model/blend.py. */

#include "flow.h"

#define LANES 8 /* output channels that are computed together */
#define AT_ONCE 4 /* px */
typedef float Lanes __attribute__((vector_size(LANES * sizeof(float)), aligned(4)));
typedef int32_t Signs __attribute__((vector_size(LANES * sizeof(float))));

typedef struct {
    const float *rows[3]; /* of input, with one px more on either side */
    int inputs, outputs;
    const float *weights, *bias; /* (3, 3, inputs, outputs), from the first of the channels that are computed */
    const float *add;            /* a row of output, or NULL */
    float slope, *out;
    const int *wanted; /* the px that are computed */
    int count;
} Row;

/* `many` px of a row, and `deep` times LANES of their channels: as many sums as there are registers for. */
INLINE void run(const Row *r, const int *px, const int many, const int deep)
{
    Lanes sum[AT_ONCE][3];
#pragma GCC unroll 4
    for (int p = 0; p < many; p++)
#pragma GCC unroll 3
        for (int d = 0; d < deep; d++)
            sum[p][d] = *(const Lanes *)(r->bias + d * LANES);
    for (int j = 0; j < 3; j++) {
        const float *in[AT_ONCE], *w = r->weights + (size_t)j * 3 * r->inputs * r->outputs;
#pragma GCC unroll 4
        for (int p = 0; p < many; p++)
            in[p] = r->rows[j] + (size_t)px[p] * r->inputs;
        for (int i = 0; i < 3 * r->inputs; i++, w += r->outputs) {
            Lanes v[3];
#pragma GCC unroll 3
            for (int d = 0; d < deep; d++)
                v[d] = *(const Lanes *)(w + d * LANES);
#pragma GCC unroll 4
            for (int p = 0; p < many; p++)
#pragma GCC unroll 3
                for (int d = 0; d < deep; d++)
                    sum[p][d] += v[d] * in[p][i];
        }
    }
    const float whole = 0.5f + 0.5f * r->slope, size = 0.5f - 0.5f * r->slope;
#pragma GCC unroll 4
    for (int p = 0; p < many; p++)
#pragma GCC unroll 3
        for (int d = 0; d < deep; d++) {
            size_t at = (size_t)px[p] * r->outputs + d * LANES;
            Lanes s = sum[p][d];
            if (r->add)
                s += *(const Lanes *)(r->add + at);
            *(Lanes *)(r->out + at) = whole * s + size * (Lanes)((Signs)s & 0x7fffffff);
        }
}

INLINE void row(const Row *r, const int deep)
{
    int k = 0;
    for (; k + AT_ONCE <= r->count; k += AT_ONCE)
        run(r, r->wanted + k, AT_ONCE, deep);
    for (; k < r->count; k++)
        run(r, r->wanted + k, 1, deep);
}

/* `image` (h, w, inputs) to `out` (h, w, outputs); outputs are a multiple of LANES. `add` (h, w, outputs), unless NULL, is
   added, then what is negative is multiplied by `slope`. Where `where` (h, w), unless NULL, is 0, nothing is written. 0, or 1
   without memory. */
KERNEL int vfi_conv(In image, int h, int w, int inputs, int outputs, In weights, In bias, float slope, const float *add,
                    const uint8_t *where, float *out)
{
    size_t wide = (size_t)(w + 2) * inputs;
    float *memory = calloc(4 * wide + w, sizeof(float)); /* three rows, and one of nothing */
    if (!memory)
        return 1;
    int ready = 0, *wanted = (int *)(memory + 4 * wide);
    for (int y = 0; y < h; y++) {
        Row r = {.inputs = inputs, .outputs = outputs, .slope = slope, .wanted = wanted};
        for (int x = 0; x < w; x++)
            if (!where || where[(size_t)y * w + x])
                wanted[r.count++] = x;
        if (!r.count)
            continue;
        ready = most(ready, y - 1);
        for (; ready <= least(y + 1, h - 1); ready++)
            memcpy(memory + (size_t)(ready % 3) * wide + inputs, image + (size_t)ready * w * inputs,
                   (size_t)w * inputs * sizeof(float));
        for (int j = 0; j < 3; j++)
            r.rows[j] = memory + (size_t)(y + j < 1 || y + j > h ? 3 : (y + j - 1) % 3) * wide;
        for (int c = 0; c < outputs;) {
            int deep = least((outputs - c) / LANES, 3);
            r.weights = weights + c, r.bias = bias + c;
            r.out = out + (size_t)y * w * outputs + c, r.add = add ? add + (size_t)y * w * outputs + c : NULL;
            if (deep == 3)
                row(&r, 3);
            else if (deep == 2)
                row(&r, 2);
            else
                row(&r, 1);
            c += deep * LANES;
        }
    }
    free(memory);
    return 0;
}

/* Marks, in the first of `out` (reach + 1, h, w), where one of `count` channels of `image` (h, w, channels), from `first` on,
   is beyond `most` in size, and in each of the others the px around those of the one before. */
KERNEL int vfi_where(In image, int h, int w, int channels, int first, int count, float most, int reach, uint8_t *out)
{
    for (size_t i = 0; i < (size_t)h * w; i++) {
        float size = 0.0f;
        for (int c = first; c < first + count; c++)
            size = fmaxf(size, fabsf(image[i * channels + c]));
        out[i] = size > most;
    }
    for (; reach; reach--, out += (size_t)h * w)
        spread(out, h, w, out + (size_t)h * w);
    return 0;
}
