// Picking and adding by index. SKIPPED takes no part; an index that was found bad is BAD: it gives NaN, and is left out of
// sums. Sums gather, so they need no atomic additions and give the same numbers in every run.
#include "common.cuh"

#define SKIPPED -1
#define BAD (-2147483647 - 1)

__device__ real nan_value() { return (real)nanf(""); }

// index = value cut towards zero; with `ignores`, SKIPPED where that is `ignored`
extern "C" __global__ void to_index(const real* values, int* index, int count, int size, int ignores, int ignored) {
    EACH(i, count) {
        real value = values[i];
        bool fits = value > real(-2147483648.0) && value < real(2147483648.0);  // false for NaN
        int place = fits ? (int)value : BAD;
        if (ignores && place == ignored) index[i] = SKIPPED;
        else index[i] = place >= 0 && place < size ? place : BAD;
    }
}

// out[n, k] = x[n, index[n, k], k];  x (N or 1, C, K or 1), a step of 0 repeats
extern "C" __global__ void select_channels(const real* x, const int* index, real* out, int count, int k, int channels,
                                           i64 sample_step, i64 channel_step, i64 k_step, real fill) {
    EACH(i, count) {
        int c = index[i];
        if (c >= 0 && c < channels) out[i] = x[i / (u32)k * sample_step + c * channel_step + i % (u32)k * k_step];
        else out[i] = c == SKIPPED ? fill : nan_value();
    }
}

// acc[n, index[n, k], k] += values[n, k]
extern "C" __global__ void add_selected(const real* values, const int* index, real* acc, int count, int k, int channels) {
    EACH(i, count) {
        int c = index[i];
        if (c >= 0 && c < channels) acc[((i64)(i / (u32)k) * channels + c) * k + i % (u32)k] += values[i];
    }
}

// out[i] = x[index[i]];  x (rows, width)
extern "C" __global__ void take_rows(const real* x, const int* index, real* out, int count, int rows, int width) {
    EACH(i, count) {
        int row = index[i / (u32)width];
        if (row >= 0 && row < rows) out[i] = x[(i64)row * width + i % (u32)width];
        else out[i] = row == SKIPPED ? real(0) : nan_value();
    }
}

// acc[index[i]] += values[i];  values (count, width). The block of the first of equal indexes adds all of them up.
extern "C" __global__ void __launch_bounds__(THREADS)
add_rows(const real* values, const int* index, real* acc, int count, int rows, int width) {
    __shared__ int earlier;
    for (int i = blockIdx.x; i < count; i += gridDim.x) {
        int row = index[i];
        if (threadIdx.x == 0) earlier = 0;
        __syncthreads();
        for (int j = threadIdx.x; j < i; j += THREADS)
            if (index[j] == row) earlier = 1;
        __syncthreads();
        if (!earlier && row >= 0 && row < rows)
            for (int d = threadIdx.x; d < width; d += THREADS) {
                real sum = 0;
                for (int j = i; j < count; ++j)
                    if (index[j] == row) sum += values[(i64)j * width + d];
                acc[(i64)row * width + d] += sum;
            }
        __syncthreads();  // `earlier` may be written again
    }
}
