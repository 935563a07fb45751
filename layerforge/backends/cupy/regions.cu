// Regions of interest, and writing values to places: h W + w within a plane, -1 for none. Gradients gather in a fixed
// order, so they give the same numbers in every run.
#include "common.cuh"

struct Span { int begin, end; };  // end is one behind the last

__device__ int clamp(int value, int size) { return value < 0 ? 0 : value > size ? size : value; }

// The places of bin i of a region that covers first ... last of an axis.
__device__ Span bin(int i, int bins, int first, int last, int size) {
    int length = last - first + 1 > 1 ? last - first + 1 : 1;
    real step = (real)length / bins;
    return {clamp((int)floor(i * step) + first, size), clamp((int)ceil((i + 1) * step) + first, size)};
}

// y[r,c,i,j] = the largest of bin (i, j) of region r in plane (batch[r], c), index = its place; 0 and -1 for an empty bin
extern "C" __global__ void roi_pool(const real* x, const int* batch, const real* regions, real* y, int* index, int count,
                                    int channels, int height, int width, int down, int across, real scale) {
    EACH(o, count) {
        int j = o % (u32)across, i = o / (u32)across % (u32)down, c = o / (u32)across / (u32)down % (u32)channels;
        int r = o / (u32)across / (u32)down / (u32)channels;
        const real* corner = regions + (i64)r * 5 + 1;  // x1, y1, x2, y2
        int left = (int)round(corner[0] * scale), top = (int)round(corner[1] * scale);
        int right = (int)round(corner[2] * scale), bottom = (int)round(corner[3] * scale);
        Span v = bin(i, down, top, bottom, height), h = bin(j, across, left, right, width);
        if (batch[r] < 0) v.end = h.end = 0;  // found bad: NaN
        const real* plane = x + ((i64)batch[r] * channels + c) * height * width;
        int place = -1;
        real largest = batch[r] < 0 ? (real)nanf("") : real(0);
        for (int row = v.begin; row < v.end; ++row)
            for (int column = h.begin; column < h.end; ++column)
                if (place < 0 || plane[row * width + column] > largest)
                    largest = plane[place = row * width + column];
        y[o] = largest;
        index[o] = place;
    }
}

// dx[batch[r],c,index[r,c,p]] += dy[r,c,p], dx zero before. A block has one plane and goes through its regions in order;
// of the bins of a region with one place the first adds all of them.
extern "C" __global__ void __launch_bounds__(THREADS)
roi_pool_gradient(const real* dy, const int* batch, const int* index, real* dx, int planes, int channels, int size,
                  int regions, int bins) {
    for (int plane = blockIdx.x; plane < planes; plane += gridDim.x) {
        int n = plane / channels, c = plane % channels;
        real* target = dx + (i64)plane * size;
        for (int i = threadIdx.x; i < size; i += THREADS) target[i] = 0;
        __syncthreads();
        for (int r = 0; r < regions; ++r) {
            if (batch[r] != n) continue;  // the same for all threads
            const int* place = index + ((i64)r * channels + c) * bins;
            const real* value = dy + ((i64)r * channels + c) * bins;
            for (int p = threadIdx.x; p < bins; p += THREADS) {
                int mine = place[p];
                bool first = mine >= 0;
                for (int q = 0; q < p && first; ++q) first = place[q] != mine;
                if (!first) continue;
                real sum = value[p];
                for (int q = p + 1; q < bins; ++q)
                    if (place[q] == mine) sum += value[q];
                target[mine] += sum;
            }
            __syncthreads();
        }
    }
}

// y[plane, index[i]] = x[i], zeros elsewhere, in three steps: y holds, in the bytes of its numbers, first the last i that
// wants each place (-1 for none), then that x.
#define CELL(y, i) ((int*)((y) + (i)))

extern "C" __global__ void unpool_clear(real* y, int count) {
    EACH(i, count) *CELL(y, i) = -1;
}
extern "C" __global__ void unpool_claim(const int* index, real* y, int count, int pooled, int size) {
    EACH(i, count)
        if (index[i] >= 0 && index[i] < size) atomicMax(CELL(y, (i64)(i / (u32)pooled) * size + index[i]), (int)i);
}
extern "C" __global__ void unpool_fill(const real* x, real* y, int count) {
    EACH(i, count) {
        int from = *CELL(y, i);
        y[i] = from < 0 ? real(0) : x[from];
    }
}

// dx[i] = dy[plane, index[i]], 0 for none
extern "C" __global__ void unpool_gradient(const real* dy, const int* index, real* dx, int count, int pooled, int size) {
    EACH(i, count) dx[i] = index[i] < 0 || index[i] >= size ? real(0) : dy[(i64)(i / (u32)pooled) * size + index[i]];
}
