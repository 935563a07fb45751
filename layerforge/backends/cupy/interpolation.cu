// Bilinear interpolation of planes x, dx (N*C, H, W) to y, dy (N*C, Ho, Wo). `begin` and `end` values of each input axis are
// cut off; of the n that are left, output i reads the place i step, step = (n - 1) / (outputs - 1), between two of them.
#include "common.cuh"

struct Axis { int size, outputs, first, left; double step; };  // first: of the values left
struct Pair { int low, high; real part; };                    // (1 - part) x[low] + part x[high]

#define GEOMETRY int height, int rows, int width, int columns, int begin, int end
#define AXES Axis v = axis(height, rows, begin, end), h = axis(width, columns, begin, end)

__device__ Axis axis(int size, int outputs, int begin, int end) {
    int left = size - begin - end;
    return {size, outputs, begin, left, outputs > 1 ? (double)(left - 1) / (outputs - 1) : 0.0};
}

__device__ Pair pair(int i, Axis a) {
    double place = i * a.step;
    int low = (int)place < a.left - 1 ? (int)place : a.left - 1;
    return {a.first + low, a.first + (low + 1 < a.left ? low + 1 : a.left - 1), (real)(place - low)};
}

// How much of output i comes from this place.
__device__ real share(int i, int place, Axis a) {
    Pair p = pair(i, a);
    return (p.low == place ? 1 - p.part : real(0)) + (p.high == place ? p.part : real(0));
}

struct Span { int begin, end; };

// The outputs that may read this place, and perhaps some beside them.
__device__ Span readers(int place, Axis a) {
    if (a.step == 0) return {0, a.outputs};
    double low = (place - a.first - 1) / a.step - 1, high = (place - a.first + 1) / a.step + 2;
    return {low < 0 ? 0 : (int)low, high > a.outputs ? a.outputs : high < 0 ? 0 : (int)high};
}

extern "C" __global__ void bilinear(const real* x, real* y, int count, GEOMETRY) {
    AXES;
    EACH(i, count) {
        Pair r = pair(i / (u32)columns % (u32)rows, v), c = pair(i % (u32)columns, h);
        const real* plane = x + (i64)(i / (u32)columns / (u32)rows) * height * width;
        real top = plane[r.low * width + c.low] * (1 - c.part) + plane[r.low * width + c.high] * c.part;
        real bottom = plane[r.high * width + c.low] * (1 - c.part) + plane[r.high * width + c.high] * c.part;
        y[i] = top * (1 - r.part) + bottom * r.part;
    }
}

extern "C" __global__ void bilinear_gradient(const real* dy, real* dx, int count, GEOMETRY) {
    AXES;
    EACH(i, count) {
        int row = i / (u32)width % (u32)height, column = i % (u32)width;
        const real* plane = dy + (i64)(i / (u32)width / (u32)height) * rows * columns;
        Span down = readers(row, v), across = readers(column, h);
        real sum = 0;
        for (int r = down.begin; r < down.end; ++r) {
            real part = share(r, row, v);
            if (part == 0) continue;
            for (int c = across.begin; c < across.end; ++c) sum += plane[r * columns + c] * share(c, column, h) * part;
        }
        dx[i] = sum;
    }
}
