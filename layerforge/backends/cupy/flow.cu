// Correlation of planes a, b (N, C, H, W) over displacements, and warping. Gradients gather, or add in a fixed order: the
// same numbers in every run.
#include "common.cuh"

struct Shape { int channels, height, width, rows, columns, pad, kernel, reach, stride, step, side; };  // side: D

#define SHAPE_ARGUMENTS int channels, int height, int width, int rows, int columns, int pad, int kernel, int reach, \
                        int stride, int step, int side
#define SHAPE Shape s = {channels, height, width, rows, columns, pad, kernel, reach, stride, step, side}

// The value at a place of the padded plane.
__device__ real padded(const real* plane, int row, int column, Shape s) {
    row -= s.pad, column -= s.pad;
    bool inside = (u32)row < (u32)s.height && (u32)column < (u32)s.width;
    return inside ? plane[(i64)row * s.width + column] : real(0);
}

// Displacement number i down or across.
__device__ int move_of(int i, Shape s) { return (i - s.side / 2) * s.step; }

extern "C" __global__ void correlate(const real* a, const real* b, real* y, int count, int subtract, SHAPE_ARGUMENTS) {
    SHAPE;
    i64 plane = (i64)height * width;
    EACH(i, count) {
        int q = i % (u32)columns, p = i / (u32)columns % (u32)rows, d = i / (u32)columns / (u32)rows % (u32)(side * side);
        i64 n = i / (u32)columns / (u32)rows / (u32)(side * side);
        int v = move_of(d / side, s), u = move_of(d % side, s);
        real sum = 0;
        for (int c = 0; c < channels; ++c) {
            const real *one = a + (n * channels + c) * plane, *other = b + (n * channels + c) * plane;
            for (int k = 0; k < kernel * kernel; ++k) {
                int row = reach + stride * p + k / kernel, column = reach + stride * q + k % kernel;
                real left = padded(one, row, column, s), right = padded(other, row + v, column + u, s);
                sum += subtract ? fabs(left - right) : left * right;
            }
        }
        y[i] = sum / ((real)kernel * kernel * channels);
    }
}

// The windows that cover a place of the padded plane, along one axis: begin ... end-1, never beyond `outputs`.
struct Span { int begin, end; };
__device__ Span covering(int place, int outputs, Shape s) {
    int last = place - s.reach, first = last - s.kernel + 1;
    if (last < 0) return {0, 0};
    int end = last / s.stride + 1;
    return {first <= 0 ? 0 : (first + s.stride - 1) / s.stride, end < outputs ? end : outputs};
}

// The gradient of a (second == 0), or of b. The other one's values are `other`, its own `own`.
extern "C" __global__ void correlate_gradient(const real* dy, const real* own, const real* other, real* out, int count,
                                              int subtract, int second, SHAPE_ARGUMENTS) {
    SHAPE;
    i64 plane = (i64)height * width;
    EACH(i, count) {
        int column = i % (u32)width + pad, row = i / (u32)width % (u32)height + pad;
        i64 channel = i / (u32)width / (u32)height, n = channel / channels;
        real mine = own[i], sum = 0;
        for (int d = 0; d < side * side; ++d) {
            int v = move_of(d / side, s), u = move_of(d % side, s);
            int home_row = second ? row - v : row, home_column = second ? column - u : column;  // the place in a
            Span down = covering(home_row, rows, s), across = covering(home_column, columns, s);
            if (down.begin >= down.end || across.begin >= across.end) continue;
            real share = 0;
            const real* given = dy + (n * side * side + d) * rows * columns;
            for (int p = down.begin; p < down.end; ++p)
                for (int q = across.begin; q < across.end; ++q) share += given[p * columns + q];
            real theirs = second ? padded(other + channel * plane, home_row, home_column, s)
                                 : padded(other + channel * plane, row + v, column + u, s);
            real sign = mine > theirs ? real(1) : mine < theirs ? real(-1) : real(0);  // of what |a - b| has inside
            sum += share * (subtract ? sign : theirs);
        }
        out[i] = sum / ((real)kernel * kernel * channels);
    }
}

struct Corners { int at[4]; real weight[4], across[4], down[4]; };  // places, weights and their derivatives

// The four neighbours of the place that (p, q) is moved from; false where that lies outside.
__device__ bool corners(const real* flow, i64 n, int p, int q, int height, int width, Corners* found) {
    i64 plane = (i64)height * width, at = (i64)p * width + q;
    real column = q + flow[2 * n * plane + at], row = p + flow[(2 * n + 1) * plane + at];
    if (!(column >= 0 && row >= 0 && column < width && row < height)) return false;
    int left = (int)column, top = (int)row;
    int right = left + 1 < width ? left + 1 : width - 1, bottom = top + 1 < height ? top + 1 : height - 1;
    real a = column - left, b = row - top;
    *found = {{top * width + left, top * width + right, bottom * width + left, bottom * width + right},
              {(1 - a) * (1 - b), a * (1 - b), (1 - a) * b, a * b},
              {b - 1, 1 - b, -b, b},
              {a - 1, -a, 1 - a, a}};
    return true;
}

extern "C" __global__ void warp(const real* x, const real* flow, real* y, int count, int channels, int height, int width,
                                real fill) {
    EACH(i, count) {
        i64 channel = i / (u32)width / (u32)height;
        const real* plane = x + channel * height * width;
        Corners c;
        real sum = 0;
        if (corners(flow, channel / channels, i / (u32)width % (u32)height, i % (u32)width, height, width, &c))
            for (int k = 0; k < 4; ++k) sum += c.weight[k] * plane[c.at[k]];
        else
            sum = fill;
        y[i] = sum;
    }
}

// A block has one plane of dx. It takes THREADS places at a time, and one of their neighbours at a time; of equal places
// the first thread adds all.
extern "C" __global__ void __launch_bounds__(THREADS)
warp_gradient(const real* dy, const real* flow, real* dx, int planes, int channels, int height, int width) {
    __shared__ int target[THREADS];
    __shared__ real value[THREADS];
    int size = height * width;
    for (int plane = blockIdx.x; plane < planes; plane += gridDim.x) {
        real* out = dx + (i64)plane * size;
        for (int i = threadIdx.x; i < size; i += THREADS) out[i] = 0;
        for (int first = 0; first < size; first += THREADS) {
            int i = first + threadIdx.x;
            Corners c;
            bool inside = i < size && corners(flow, plane / channels, i / width, i % width, height, width, &c);
            for (int k = 0; k < 4; ++k) {
                __syncthreads();
                target[threadIdx.x] = inside ? c.at[k] : -1;
                value[threadIdx.x] = inside ? c.weight[k] * dy[(i64)plane * size + i] : real(0);
                __syncthreads();
                int mine = target[threadIdx.x];
                bool owner = mine >= 0;
                for (int t = 0; t < (int)threadIdx.x && owner; ++t) owner = target[t] != mine;
                if (!owner) continue;
                real sum = 0;
                for (int t = threadIdx.x; t < THREADS; ++t)
                    if (target[t] == mine) sum += value[t];
                out[mine] += sum;
            }
        }
        __syncthreads();  // before `out` of the next plane is cleared
    }
}

// dflow (N, 2, H, W): across, then down
extern "C" __global__ void flow_gradient(const real* dy, const real* x, const real* flow, real* dflow, int count,
                                         int channels, int height, int width) {
    i64 size = (i64)height * width;
    EACH(i, count) {
        i64 n = i / (u32)size, at = i % (u32)size;
        Corners c;
        real across = 0, down = 0;
        if (corners(flow, n, at / width, at % width, height, width, &c))
            for (int channel = 0; channel < channels; ++channel) {
                const real* plane = x + (n * channels + channel) * size;
                real given = dy[(n * channels + channel) * size + at];
                for (int k = 0; k < 4; ++k) {
                    across += c.across[k] * given * plane[c.at[k]];
                    down += c.down[k] * given * plane[c.at[k]];
                }
            }
        dflow[2 * n * size + at] = across;
        dflow[(2 * n + 1) * size + at] = down;
    }
}
