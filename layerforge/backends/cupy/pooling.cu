// Pooling of planes: x, dx (N*C, H, W), y, dy (N*C, Ho, Wo). The window of output (p, q) covers the rows stride p - pad ...
// + kernel - 1 and the columns likewise, cut at the plane. A thread makes one number; gradients gather, so they need no
// atomic additions and give the same numbers in every run.
#include "common.cuh"
#include "pooling.cuh"

struct Window { i64 plane; Span v, h; int p, q; };  // plane: where x's plane starts

// The window of output number i, or the windows over place number i: then `plane` is where y's plane starts.
__device__ Window window_of(u32 i, Axis v, Axis h) {
    int q = i % h.outputs, p = i / h.outputs % v.outputs;
    return {(i64)(i / h.outputs / v.outputs) * v.size * h.size, inside(p, v), inside(q, h), p, q};
}
__device__ Window windows_over(u32 i, Axis v, Axis h) {
    int q = i % h.size, p = i / h.size % v.size;
    return {(i64)(i / h.size / v.size) * v.outputs * h.outputs, covering(p, v), covering(q, h), p, q};
}

// Visits every place of both spans in row order.
#define EACH_PLACE(w, r, c) \
    for (int r = w.v.begin; r < w.v.end; ++r) \
        for (int c = w.h.begin; c < w.h.end; ++c)

// index: the place h W + w of the largest value, of equal ones the first; -1 where nothing is above LOWEST. May be null.
extern "C" __global__ void max_pool(const real* x, real* y, int* index, int count, GEOMETRY) {
    AXES;
    EACH(i, count) {
        Window w = window_of(i, v, h);
        real largest = LOWEST;
        int place = -1;
        EACH_PLACE(w, r, c)
            if (x[w.plane + r * width + c] > largest) largest = x[w.plane + (place = r * width + c)];
        y[i] = largest;
        if (index) index[i] = place;
    }
}

extern "C" __global__ void max_pool_gradient(const real* dy, const int* index, real* dx, int count, GEOMETRY) {
    AXES;
    EACH(i, count) {
        Window w = windows_over(i, v, h);
        real sum = 0;
        EACH_PLACE(w, r, c)
            if (index[w.plane + r * columns + c] == w.p * width + w.q) sum += dy[w.plane + r * columns + c];
        dx[i] = sum;
    }
}

extern "C" __global__ void average_pool(const real* x, real* y, int count, GEOMETRY, int count_padding) {
    AXES;
    EACH(i, count) {
        Window w = window_of(i, v, h);
        real sum = 0;
        EACH_PLACE(w, r, c) sum += x[w.plane + r * width + c];
        y[i] = sum / (extent(w.p, v, count_padding) * extent(w.q, h, count_padding));
    }
}

extern "C" __global__ void average_pool_gradient(const real* dy, real* dx, int count, GEOMETRY, int count_padding) {
    AXES;
    EACH(i, count) {
        Window w = windows_over(i, v, h);
        real sum = 0;
        EACH_PLACE(w, r, c)
            sum += dy[w.plane + r * columns + c] / (extent(r, v, count_padding) * extent(c, h, count_padding));
        dx[i] = sum;
    }
}

// The first value in row order at which the running sum reaches uniform * total; x >= 0.
extern "C" __global__ void stochastic_pool(const real* x, const real* uniform, real* y, int* index, int count, GEOMETRY) {
    AXES;
    EACH(i, count) {
        Window w = window_of(i, v, h);
        real total = 0, running = 0;
        EACH_PLACE(w, r, c) total += x[w.plane + r * width + c];
        real wanted = uniform[i] * total;
        int place = -1;
        EACH_PLACE(w, r, c)
            if (place < 0 || running < wanted) running += x[w.plane + (place = r * width + c)];
        y[i] = x[w.plane + place];
        index[i] = place;
    }
}

// sum x^2 / sum x, and 0 where the sum is not positive
extern "C" __global__ void weighted_pool(const real* x, real* y, int count, GEOMETRY) {
    AXES;
    EACH(i, count) {
        Window w = window_of(i, v, h);
        real sum = 0, squares = 0;
        EACH_PLACE(w, r, c) {
            real value = x[w.plane + r * width + c];
            sum += value;
            squares += value * value;
        }
        y[i] = sum > 0 ? squares / sum : real(0);
    }
}
