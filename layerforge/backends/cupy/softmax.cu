// x, y, dy, dx (outer, C, inner).  y = exp(x - max x) / sum exp(x - max x)  and  dx = y (dy - sum dy y), over C
//
// A block takes `width` neighbouring columns (o, i) at a time and spreads its threads over the channels of each: width is
// 1 where inner is 1, so that neighbours always read neighbouring memory.
#include "common.cuh"

// The first element of column number `column`; its channels are `inner` apart.
__device__ i64 column_start(u32 column, int channels, int inner) {
    return (i64)(column / inner) * channels * inner + column % inner;
}

// The sum, or the largest, of `value` over the threads of each column; every thread gets it. All threads must call it.
__device__ real combine(real value, bool largest, int width, real* part) {
    part[threadIdx.x] = value;
    __syncthreads();
    for (int half = THREADS / width / 2; half > 0; half /= 2) {
        if ((int)threadIdx.x < half * width) {
            real other = part[threadIdx.x + half * width], mine = part[threadIdx.x];
            part[threadIdx.x] = largest ? (mine < other ? other : mine) : mine + other;
        }
        __syncthreads();
    }
    real result = part[threadIdx.x % width];
    __syncthreads();  // `part` may be written again
    return result;
}

extern "C" __global__ void __launch_bounds__(THREADS)
softmax(const real* x, real* y, int columns, int channels, int inner, int width) {
    __shared__ real part[THREADS];
    int lane = threadIdx.x % width, line = threadIdx.x / width, lines = THREADS / width;
    for (u32 first = blockIdx.x * width; first < (u32)columns; first += gridDim.x * width) {
        u32 column = first + lane;
        int count = column < (u32)columns ? channels : 0;
        i64 start = column_start(column, channels, inner);
        real largest = count ? x[start] : real(0);
        for (int c = line; c < count; c += lines) largest = fmax(largest, x[start + (i64)c * inner]);
        largest = combine(largest, true, width, part);
        real sum = 0;
        for (int c = line; c < count; c += lines) {
            real e = exp(x[start + (i64)c * inner] - largest);
            y[start + (i64)c * inner] = e;
            sum += e;
        }
        sum = combine(sum, false, width, part);
        for (int c = line; c < count; c += lines) y[start + (i64)c * inner] /= sum;
    }
}

extern "C" __global__ void __launch_bounds__(THREADS)
softmax_gradient(const real* y, const real* dy, real* dx, int columns, int channels, int inner, int width) {
    __shared__ real part[THREADS];
    int lane = threadIdx.x % width, line = threadIdx.x / width, lines = THREADS / width;
    for (u32 first = blockIdx.x * width; first < (u32)columns; first += gridDim.x * width) {
        u32 column = first + lane;
        int count = column < (u32)columns ? channels : 0;
        i64 start = column_start(column, channels, inner);
        real dot = 0;
        for (int c = line; c < count; c += lines) dot += dy[start + (i64)c * inner] * y[start + (i64)c * inner];
        dot = combine(dot, false, width, part);
        for (int c = line; c < count; c += lines) {
            i64 i = start + (i64)c * inner;
            dx[i] = y[i] * (dy[i] - dot);
        }
    }
}
