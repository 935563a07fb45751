// y (outer, channels, inner):  y[o,c,i] += b[c],  and its gradient  db[c] += sum over o, i of dy[o,c,i]
#include "common.cuh"

extern "C" __global__ void add_bias(real* y, const real* b, int count, int channels, int inner) {
    EACH(i, count) y[i] += b[i / (u32)inner % (u32)channels];
}

// A block sums `width` neighbouring channels (inner == 1, so that neighbours read neighbouring memory) or one.
// The order of the sum depends on the shape alone: the same numbers in every run.
extern "C" __global__ void __launch_bounds__(THREADS)
bias_gradient(const real* dy, real* db, int outer, int channels, int inner, int width) {
    __shared__ real part[THREADS];
    int lane = threadIdx.x % width, line = threadIdx.x / width, lines = THREADS / width;
    int groups = (channels + width - 1) / width;
    for (int group = blockIdx.x; group < groups; group += gridDim.x) {
        int c = group * width + lane;
        real sum = 0;
        if (c < channels)
            for (i64 e = line; e < (i64)outer * inner; e += lines)
                sum += dy[(e / inner * channels + c) * inner + e % inner];
        part[threadIdx.x] = sum;
        __syncthreads();
        for (int half = lines / 2; half > 0; half /= 2) {
            if (line < half) part[threadIdx.x] += part[threadIdx.x + half * width];
            __syncthreads();
        }
        if (line == 0 && c < channels) db[c] += part[lane];  // its own place, which no other thread writes
    }
}
