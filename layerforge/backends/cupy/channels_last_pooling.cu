// Pooling of channels-last blobs: x, dx (N, H, W, C), y, dy (N, Ho, Wo, C). A thread makes one pack of channels; gradients
// gather, as in pooling.cu. Sums are float.
#include "common.cuh"
#include "numbers.cuh"
#include "pooling.cuh"

// Output, or place of the plane, number i / packs, and which pack of its channels.
struct Spot { i64 plane; Span v, h; int p, q, pack; };

__device__ Spot window_at(u32 i, int packs, Axis v, Axis h) {
    u32 spot = i / packs;
    int q = spot % h.outputs, p = spot / h.outputs % v.outputs;
    return {(i64)(spot / h.outputs / v.outputs) * v.size * h.size, inside(p, v), inside(q, h), p, q, (int)(i % packs)};
}
__device__ Spot windows_around(u32 i, int packs, Axis v, Axis h) {
    u32 spot = i / packs;
    int q = spot % h.size, p = spot / h.size % v.size;
    return {(i64)(spot / h.size / v.size) * v.outputs * h.outputs, covering(p, v), covering(q, h), p, q, (int)(i % packs)};
}

#define EACH_PLACE(w, r, c) \
    for (int r = w.v.begin; r < w.v.end; ++r) \
        for (int c = w.h.begin; c < w.h.end; ++c)
#define PACK_AT(w, columns, r, c) ((w.plane + (i64)(r) * (columns) + (c)) * packs + w.pack)

template <class T, int W> __device__ void max_at(u32 i, const T* x, T* y, int* index, int packs, Axis v, Axis h) {
    Spot w = window_at(i, packs, v, h);
    float largest[W];
    Pack<int, W> place;
    Pack<T, W> out;
    ALL largest[k] = (float)LOWEST, place.x[k] = -1;
    EACH_PLACE(w, r, c) {
        Pack<T, W> values = pack_of<T, W>(x, PACK_AT(w, h.size, r, c));
        ALL if (get(values.x[k]) > largest[k]) largest[k] = get(values.x[k]), place.x[k] = r * h.size + c;
    }
    ALL put(out.x[k], largest[k]);
    set_pack<T, W>(y, i, out);
    if (index) set_pack<int, W>(index, i, place);
}

// index: the place h W + w of the largest value, of equal ones the first; -1 where nothing is above LOWEST. May be null.
extern "C" __global__ void __launch_bounds__(THREADS)
max_pool_last(const void* x, void* y, int* index, int count, GEOMETRY, int channels, int kind, int wide) {
    AXES;
    WITH_KIND(kind, wide, EACH(i, count / W) max_at<T, W>(i, (const T*)x, (T*)y, index, channels / W, v, h);)
}

template <class T, int W>
__device__ void max_gradient_at(u32 i, const T* dy, const int* index, T* dx, int packs, Axis v, Axis h) {
    Spot w = windows_around(i, packs, v, h);
    float sum[W] = {};
    int mine = w.p * h.size + w.q;
    Pack<T, W> out;
    EACH_PLACE(w, r, c) {
        i64 at = PACK_AT(w, h.outputs, r, c);
        Pack<T, W> values = pack_of<T, W>(dy, at);
        Pack<int, W> place = pack_of<int, W>(index, at);
        ALL if (place.x[k] == mine) sum[k] += get(values.x[k]);
    }
    ALL put(out.x[k], sum[k]);
    set_pack<T, W>(dx, i, out);
}

extern "C" __global__ void __launch_bounds__(THREADS)
max_pool_gradient_last(const void* dy, const int* index, void* dx, int count, GEOMETRY, int channels, int kind, int wide) {
    AXES;
    WITH_KIND(kind, wide, EACH(i, count / W) max_gradient_at<T, W>(i, (const T*)dy, index, (T*)dx, channels / W, v, h);)
}

template <class T, int W>
__device__ void average_at(u32 i, const T* x, T* y, int packs, Axis v, Axis h, int count_padding) {
    Spot w = window_at(i, packs, v, h);
    float sum[W] = {}, size = extent(w.p, v, count_padding) * extent(w.q, h, count_padding);
    Pack<T, W> out;
    EACH_PLACE(w, r, c) {
        Pack<T, W> values = pack_of<T, W>(x, PACK_AT(w, h.size, r, c));
        ALL sum[k] += get(values.x[k]);
    }
    ALL put(out.x[k], sum[k] / size);
    set_pack<T, W>(y, i, out);
}

extern "C" __global__ void __launch_bounds__(THREADS)
average_pool_last(const void* x, void* y, int count, GEOMETRY, int channels, int kind, int wide, int count_padding) {
    AXES;
    WITH_KIND(kind, wide, EACH(i, count / W)
        average_at<T, W>(i, (const T*)x, (T*)y, channels / W, v, h, count_padding);)
}

template <class T, int W>
__device__ void average_gradient_at(u32 i, const T* dy, T* dx, int packs, Axis v, Axis h, int count_padding) {
    Spot w = windows_around(i, packs, v, h);
    float sum[W] = {};
    Pack<T, W> out;
    EACH_PLACE(w, r, c) {
        Pack<T, W> values = pack_of<T, W>(dy, PACK_AT(w, h.outputs, r, c));
        float size = extent(r, v, count_padding) * extent(c, h, count_padding);
        ALL sum[k] += get(values.x[k]) / size;
    }
    ALL put(out.x[k], sum[k]);
    set_pack<T, W>(dx, i, out);
}

extern "C" __global__ void __launch_bounds__(THREADS)
average_pool_gradient_last(const void* dy, void* dx, int count, GEOMETRY, int channels, int kind, int wide,
                           int count_padding) {
    AXES;
    WITH_KIND(kind, wide, EACH(i, count / W)
        average_gradient_at<T, W>(i, (const T*)dy, (T*)dx, channels / W, v, h, count_padding);)
}
