// Local response normalisation of channels-last blobs: x, y, dy, dx (N, P, C); scale, of the same shape, is float. The
// neighbours of a channel lie beside it.
#include "common.cuh"
#include "lrn.cuh"
#include "numbers.cuh"

template <class T>
__device__ void lrn_at(u32 i, const T* x, T* y, float* scale, int channels, int size, float part, float beta, float k) {
    Neighbours near = around(i, channels, 1, size);
    float sum = 0;
    for (int shift = near.begin; shift < near.end; ++shift) {
        float value = get(x[(i64)i + shift]);
        sum += value * value;
    }
    float total = k + part * sum;
    scale[i] = total;
    put(y[i], get(x[i]) * (float)inverse_power(total, beta));
}

// scale = k + alpha/size sum x^2 over the neighbours,  y = x scale^-beta;  part = alpha/size
extern "C" __global__ void __launch_bounds__(THREADS)
lrn_last(const void* x, void* y, float* scale, int count, int channels, int size, float part, float beta, float k, int kind) {
    WITH_KIND(kind, 0, EACH(i, count / W) lrn_at<T>(i, (const T*)x, (T*)y, scale, channels, size, part, beta, k);)
}

template <class T>
__device__ void lrn_gradient_at(u32 i, const T* dy, const T* x, const float* scale, T* dx, int channels, int size,
                                float factor, float beta) {
    Neighbours near = around(i, channels, 1, size);
    float sum = 0;
    for (int shift = near.begin; shift < near.end; ++shift) {
        i64 at = (i64)i + shift;
        sum += get(dy[at]) * get(x[at]) * (float)inverse_power(scale[at], beta) / scale[at];
    }
    put(dx[i], get(dy[i]) * (float)inverse_power(scale[i], beta) - factor * get(x[i]) * sum);
}

// dx = dy scale^-beta - factor x sum dy x scale^(-beta-1) over the neighbours;  factor = 2 alpha beta/size
extern "C" __global__ void __launch_bounds__(THREADS)
lrn_gradient_last(const void* dy, const void* x, const float* scale, void* dx, int count, int channels, int size,
                  float factor, float beta, int kind) {
    WITH_KIND(kind, 0, EACH(i, count / W)
        lrn_gradient_at<T>(i, (const T*)dy, (const T*)x, scale, (T*)dx, channels, size, factor, beta);)
}
