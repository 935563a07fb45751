// Sums in double precision, for arrays (outer, channels, length):  total[c] = sum over o, l of a[o,c,l] b[o,c,l]; without b,
// of a[o,c,l]. A channel is cut into slices, so that few long channels fill the device too. The order of the sum depends
// on the shape alone: the same numbers in every run.
#include "common.cuh"

__device__ void store(void* out, int wide, int add, int c, double value) {
    if (wide) ((double*)out)[c] = add ? ((double*)out)[c] + value : value;
    else ((float*)out)[c] = add ? ((float*)out)[c] + (float)value : (float)value;
}

// A block sums one slice of `width` neighbouring channels (length == 1, so that neighbours read neighbouring memory), or
// of one. part (channels, slices); with one slice the sum goes to `out`: float, or double if it is `wide`.
extern "C" __global__ void __launch_bounds__(THREADS)
sum_slices(const real* a, const real* b, double* part, void* out, int wide, int add, int outer, int channels, int length,
           int slices, int width) {
    __shared__ double sums[THREADS];
    int lane = threadIdx.x % width, line = threadIdx.x / width, lines = THREADS / width;
    u32 groups = (channels + width - 1) / width, count = (u32)outer * length, each = (count + slices - 1) / slices;
    for (u32 t = blockIdx.x; t < groups * slices; t += gridDim.x) {
        u32 slice = t % slices, first = slice * each, end = first + each < count ? first + each : count;
        int c = t / slices * width + lane;
        double sum = 0;
        if (c < channels)
            for (u32 e = first + line; e < end; e += lines) {
                i64 i = ((i64)(e / length) * channels + c) * length + e % length;
                sum += b ? (double)a[i] * b[i] : (double)a[i];
            }
        sums[threadIdx.x] = sum;
        __syncthreads();
        for (int half = lines / 2; half > 0; half /= 2) {
            if (line < half) sums[threadIdx.x] += sums[threadIdx.x + half * width];
            __syncthreads();
        }
        if (line == 0 && c < channels) {
            if (slices == 1) store(out, wide, add, c, sums[lane]);
            else part[(i64)c * slices + slice] = sums[lane];
        }
        __syncthreads();  // `sums` may be written again
    }
}

extern "C" __global__ void add_slices(const double* part, void* out, int wide, int add, int channels, int slices) {
    EACH(c, channels) {
        double sum = 0;
        for (int s = 0; s < slices; ++s) sum += part[(i64)c * slices + s];
        store(out, wide, add, c, sum);
    }
}
