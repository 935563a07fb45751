// Pointwise kernels of channels-last blobs (N, P, C), and of numbers that change their kind.
#include "common.cuh"
#include "numbers.cuh"

template <class T, int W> __device__ void add_term(float* sum, const T* x, u32 i, float factor) {
    if (!x) return;
    Pack<T, W> values = pack_of<T, W>(x, i);
    ALL sum[k] += factor * get(values.x[k]);
}

// y = a x_0 + b x_1 + c x_2 + d x_3, with relu: negative values times slope. Terms that are null are left out.
template <class T, int W>
__device__ void sum_at(u32 i, const T* x0, const T* x1, const T* x2, const T* x3, T* y, float a, float b, float c, float d,
                       int relu, float slope) {
    float sum[W] = {};
    add_term<T, W>(sum, x0, i, a);
    add_term<T, W>(sum, x1, i, b);
    add_term<T, W>(sum, x2, i, c);
    add_term<T, W>(sum, x3, i, d);
    Pack<T, W> out;
    ALL put(out.x[k], relu && !(sum[k] > 0) ? slope * sum[k] : sum[k]);
    set_pack<T, W>(y, i, out);
}

extern "C" __global__ void __launch_bounds__(THREADS)
sum_last(const void* x0, const void* x1, const void* x2, const void* x3, void* y, float a, float b, float c, float d,
         int relu, float slope, int count, int kind, int wide) {
    WITH_KIND(kind, wide, EACH(i, count / W)
        sum_at<T, W>(i, (const T*)x0, (const T*)x1, (const T*)x2, (const T*)x3, (T*)y, a, b, c, d, relu, slope);)
}

template <class T, int W> __device__ void relu_gradient_at(u32 i, const T* dy, const T* y, T* dx, float slope) {
    Pack<T, W> given = pack_of<T, W>(dy, i), values = pack_of<T, W>(y, i), out;
    ALL put(out.x[k], get(values.x[k]) > 0 ? get(given.x[k]) : slope * get(given.x[k]));
    set_pack<T, W>(dx, i, out);
}

// dx = dy where y > 0, else slope dy; dx may be dy
extern "C" __global__ void __launch_bounds__(THREADS)
relu_gradient_last(const void* dy, const void* y, void* dx, float slope, int count, int kind, int wide) {
    WITH_KIND(kind, wide, EACH(i, count / W) relu_gradient_at<T, W>(i, (const T*)dy, (const T*)y, (T*)dx, slope);)
}

// y (rows, to) [first_to ...] = x (rows, from) [first_from ...], `width` values a row; all four divide by W
template <class T, int W>
__device__ void copy_at(u32 i, const T* x, T* y, int width, int from, int first_from, int to, int first_to) {
    u32 packs = width / W, row = i / packs, at = i % packs;
    set_pack<T, W>(y, (i64)row * (to / W) + first_to / W + at,
                   pack_of<T, W>(x, (i64)row * (from / W) + first_from / W + at));
}

extern "C" __global__ void __launch_bounds__(THREADS)
copy_channels(const void* x, void* y, int rows, int width, int from, int first_from, int to, int first_to, int kind,
              int wide) {
    WITH_KIND(kind, wide, EACH(i, rows * (width / W))
        copy_at<T, W>(i, (const T*)x, (T*)y, width, from, first_from, to, first_to);)
}

// y = factor x where the byte of the same value in plain order (N, C, P) is not 0, else 0
template <class T>
__device__ void dropout_at(u32 i, const T* x, const unsigned char* mask, T* y, int channels, int positions, float factor) {
    u32 c = i % (u32)channels, p = i / (u32)channels % (u32)positions, n = i / (u32)channels / (u32)positions;
    bool stays = mask[((i64)n * channels + c) * positions + p];
    put(y[i], stays ? factor * get(x[i]) : 0);
}

extern "C" __global__ void __launch_bounds__(THREADS)
dropout_last(const void* x, const unsigned char* mask, void* y, int count, int channels, int positions, float factor,
             int kind) {
    WITH_KIND(kind, 0, EACH(i, count / W) dropout_at<T>(i, (const T*)x, mask, (T*)y, channels, positions, factor);)
}

// y = x, or y += x, between kinds of numbers
extern "C" __global__ void __launch_bounds__(THREADS)
cast_numbers(const void* x, int from, void* y, int to, int count, int add) {
    EACH(i, count) {
        float value = (float)load(x, i, from);
        store(y, i, add ? (float)load(y, i, to) + value : value, to);
    }
}
