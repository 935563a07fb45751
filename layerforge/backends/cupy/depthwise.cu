// Convolution of few channels a group, number by number: matrix products of so few rows would mostly multiply zeros.
// x, dx (N, G channels, ...)   w (G outputs, channels, taps)   y, dy (N, G outputs, ...)   channels, outputs: of one group
#include "windows.cuh"

extern "C" __global__ void few_conv(const real* x, const real* w, const real* bias, real* y, int count, int group,
                                    int channels, int outputs, GEOMETRY) {
    AXES;
    u32 ins = INS, outs = OUTS, taps = TAPS, all = group * outputs;
    EACH(i, count) {
        u32 o = i / outs % all, n = i / outs / all;
        Place start = window(i % outs, D, H, W);
        const real* from = x + ((i64)n * group + o / outputs) * channels * ins;
        const real* weight = w + (i64)o * channels * taps;
        real sum = bias ? bias[o] : real(0);
        for (int c = 0; c < channels; ++c, from += ins, weight += taps)
            for (u32 k = 0; k < taps; ++k) {
                int at = source(start, tap(k, D, H, W), D, H, W);
                if (at >= 0) sum += weight[k] * from[at];
            }
        y[i] = sum;
    }
}

extern "C" __global__ void few_data_gradient(const real* dy, const real* w, real* dx, int count, int group, int channels,
                                             int outputs, GEOMETRY) {
    AXES;
    u32 ins = INS, outs = OUTS, taps = TAPS, all = group * channels;
    EACH(i, count) {
        u32 c = i / ins % all, n = i / ins / all, g = c / channels;
        Place at = place(i % ins, H.in, W.in);
        const real* from = dy + ((i64)n * group + g) * outputs * outs;
        const real* weight = w + ((i64)g * outputs * channels + c % channels) * taps;
        real sum = 0;
        for (int o = 0; o < outputs; ++o, from += outs, weight += channels * taps)
            for (u32 k = 0; k < taps; ++k) {
                int p = reader(at, tap(k, D, H, W), D, H, W);
                if (p >= 0) sum += weight[k] * from[p];
            }
        dx[i] = sum;
    }
}

// A block makes one number of dw.
extern "C" __global__ void __launch_bounds__(THREADS)
few_weight_gradient(const real* x, const real* dy, real* dw, int count, int samples, int group, int channels, int outputs,
                    GEOMETRY) {
    AXES;
    __shared__ real part[THREADS];
    u32 ins = INS, outs = OUTS, taps = TAPS;
    for (u32 i = blockIdx.x; i < (u32)count; i += gridDim.x) {
        u32 c = i / taps % channels, o = i / taps / channels;
        Place offset = tap(i % taps, D, H, W);
        real sum = 0;
        for (u32 e = threadIdx.x; e < samples * outs; e += THREADS) {
            u32 n = e / outs;
            int at = source(window(e % outs, D, H, W), offset, D, H, W);
            if (at >= 0)
                sum += dy[((i64)n * group * outputs + o) * outs + e % outs] *
                       x[(((i64)n * group + o / outputs) * channels + c) * ins + at];
        }
        part[threadIdx.x] = sum;
        __syncthreads();
        for (int half = THREADS / 2; half > 0; half /= 2) {
            if ((int)threadIdx.x < half) part[threadIdx.x] += part[threadIdx.x + half];
            __syncthreads();
        }
        if (threadIdx.x == 0) dw[i] += part[0];
        __syncthreads();  // `part` may be written again
    }
}
