// Convolution as matrix products whose second factor is read where it lies: no columns are written.
// x, dx (N, G channels, ...)   w (G outputs, channels, taps)   y, dy (N, G outputs, ...)   channels, outputs: of one group
//
// A block makes a TILE x TILE piece of the result; a thread makes 4 x 4 numbers of it, 16 apart, in registers.
#include "windows.cuh"

#define TILE 64
#define DEPTH 16  // of one step along the sum
#define SIDE 16   // threads along one edge of the tile: SIDE * SIDE == THREADS
#define EACH_SIDE (TILE / SIDE)

typedef real Tile[DEPTH][TILE + 1];

// sum += a' b
__device__ void multiply(Tile a, Tile b, real (*sum)[EACH_SIDE]) {
    int x = threadIdx.x % SIDE, y = threadIdx.x / SIDE;
#pragma unroll
    for (int d = 0; d < DEPTH; ++d) {
        real u[EACH_SIDE], v[EACH_SIDE];
#pragma unroll
        for (int i = 0; i < EACH_SIDE; ++i) {
            u[i] = a[d][y + i * SIDE];
            v[i] = b[d][x + i * SIDE];
        }
#pragma unroll
        for (int i = 0; i < EACH_SIDE; ++i)
#pragma unroll
            for (int j = 0; j < EACH_SIDE; ++j) sum[i][j] += u[i] * v[j];
    }
}

// Visits the thread's 4 x 4 numbers: element `sum[i_][j_]` belongs to (row, col) of the tile that starts at (m, n).
#define EACH_RESULT(row, col, m, n) \
    _Pragma("unroll") for (int i_ = 0, row = (m) + threadIdx.x / SIDE; i_ < EACH_SIDE; ++i_, row += SIDE) \
    _Pragma("unroll") for (u32 j_ = 0, col = (n) + threadIdx.x % SIDE; j_ < EACH_SIDE; ++j_, col += SIDE)

struct Term { i64 w, other; Place offset; };  // of one summand: where its weight and its channel start, and its tap

// y[n,o,p] = bias[o] + sum over c, tap of w[o,c,tap] x[n,c,window p + tap];  columns are (n, p). bias may be null.
extern "C" __global__ void __launch_bounds__(THREADS)
conv(const real* x, const real* w, const real* bias, real* y, int samples, int group, int channels, int outputs, GEOMETRY) {
    AXES;
    __shared__ Tile a, b;
    __shared__ Term terms[DEPTH];
    u32 ins = INS, outs = OUTS, taps = TAPS, columns = samples * outs, depth = channels * taps;
    u32 down = (outputs + TILE - 1) / TILE, across = (columns + TILE - 1) / TILE;
    for (u32 t = blockIdx.x; t < group * down * across; t += gridDim.x) {
        u32 g = t / (down * across), first_m = t / across % down * TILE, first_n = t % across * TILE;
        u32 mine = first_n + threadIdx.x % TILE;  // the column this thread loads
        Place start = window(mine % outs, D, H, W);
        const real* from = x + ((i64)(mine / outs) * group + g) * channels * ins;
        real sum[EACH_SIDE][EACH_SIDE] = {};
        for (u32 step = 0; step < depth; step += DEPTH) {
            if (threadIdx.x < DEPTH) {
                u32 k = step + threadIdx.x;
                terms[threadIdx.x] = {0, (i64)(k / taps) * ins, tap(k % taps, D, H, W)};
            }
            __syncthreads();
            for (u32 d = threadIdx.x % DEPTH, row = threadIdx.x / DEPTH; row < TILE; row += THREADS / DEPTH) {
                bool inside = first_m + row < (u32)outputs && step + d < depth;
                a[d][row] = inside ? w[((i64)g * outputs + first_m + row) * depth + step + d] : real(0);
            }
            for (u32 d = threadIdx.x / TILE; d < DEPTH; d += THREADS / TILE) {
                int at = source(start, terms[d].offset, D, H, W);
                bool inside = at >= 0 && mine < columns && step + d < depth;
                b[d][threadIdx.x % TILE] = inside ? from[terms[d].other + at] : real(0);
            }
            __syncthreads();
            multiply(a, b, sum);
            __syncthreads();
        }
        EACH_RESULT(row, col, first_m, first_n)
            if (row < outputs && col < columns) {
                i64 o = (i64)g * outputs + row;
                y[((i64)(col / outs) * group * outputs + o) * outs + col % outs] = sum[i_][j_] + (bias ? bias[o] : real(0));
            }
    }
}

// dx[n,c,q] = sum over o, tap of w[o,c,tap] dy[n,o,p] wherever window p + tap = q;  columns are (n, q)
extern "C" __global__ void __launch_bounds__(THREADS)
conv_data_gradient(const real* dy, const real* w, real* dx, int samples, int group, int channels, int outputs, GEOMETRY) {
    AXES;
    __shared__ Tile a, b;
    __shared__ Term terms[DEPTH];
    u32 ins = INS, outs = OUTS, taps = TAPS, columns = samples * ins, depth = outputs * taps;
    u32 down = (channels + TILE - 1) / TILE, across = (columns + TILE - 1) / TILE;
    for (u32 t = blockIdx.x; t < group * down * across; t += gridDim.x) {
        u32 g = t / (down * across), first_m = t / across % down * TILE, first_n = t % across * TILE;
        u32 mine = first_n + threadIdx.x % TILE;
        Place at = place(mine % ins, H.in, W.in);
        const real* from = dy + ((i64)(mine / ins) * group + g) * outputs * outs;
        real sum[EACH_SIDE][EACH_SIDE] = {};
        for (u32 step = 0; step < depth; step += DEPTH) {
            if (threadIdx.x < DEPTH) {
                u32 k = step + threadIdx.x, o = k / taps;
                terms[threadIdx.x] = {((i64)g * outputs + o) * channels * taps + k % taps, (i64)o * outs,
                                      tap(k % taps, D, H, W)};
            }
            __syncthreads();
            for (u32 d = threadIdx.x % DEPTH, row = threadIdx.x / DEPTH; row < TILE; row += THREADS / DEPTH) {
                bool inside = first_m + row < (u32)channels && step + d < depth;
                a[d][row] = inside ? w[terms[d].w + (i64)(first_m + row) * taps] : real(0);
            }
            for (u32 d = threadIdx.x / TILE; d < DEPTH; d += THREADS / TILE) {
                int p = reader(at, terms[d].offset, D, H, W);
                bool inside = p >= 0 && mine < columns && step + d < depth;
                b[d][threadIdx.x % TILE] = inside ? from[terms[d].other + p] : real(0);
            }
            __syncthreads();
            multiply(a, b, sum);
            __syncthreads();
        }
        EACH_RESULT(row, col, first_m, first_n)
            if (row < channels && col < columns)
                dx[(((i64)(col / ins) * group + g) * channels + row) * ins + col % ins] = sum[i_][j_];
    }
}

// dw[o,c,tap] += sum over n, p of dy[n,o,p] x[n,c,window p + tap];  columns are (c, tap). The sum is cut into slices:
// part (slices, G outputs, columns) gets those of each, or dw is added to where there is one slice.
extern "C" __global__ void __launch_bounds__(THREADS)
conv_weight_gradient(const real* x, const real* dy, real* dw, real* part, int slices, int samples, int group, int channels,
                     int outputs, GEOMETRY) {
    AXES;
    __shared__ Tile a, b;
    u32 ins = INS, outs = OUTS, taps = TAPS, columns = channels * taps, depth = samples * outs;
    u32 down = (outputs + TILE - 1) / TILE, across = (columns + TILE - 1) / TILE, tiles = group * down * across;
    u32 each = (depth + slices - 1) / slices;
    for (u32 t = blockIdx.x; t < tiles * slices; t += gridDim.x) {
        u32 slice = t / tiles, g = t % tiles / (down * across), first_m = t / across % down * TILE, first_n = t % across * TILE;
        u32 begin = slice * each, end = begin + each < depth ? begin + each : depth;
        i64 channel[EACH_SIDE];  // of the columns this thread loads, SIDE apart
        Place offset[EACH_SIDE];
#pragma unroll
        for (u32 j = 0; j < EACH_SIDE; ++j) {
            u32 col = first_n + threadIdx.x / DEPTH + j * SIDE;
            channel[j] = col < columns ? (i64)(col / taps) * ins : -1;
            offset[j] = tap(col % taps, D, H, W);
        }
        real sum[EACH_SIDE][EACH_SIDE] = {};
        for (u32 step = begin; step < end; step += DEPTH) {
            u32 d = threadIdx.x % DEPTH, k = step + d, n = k / outs, p = k % outs;
            Place start = window(p, D, H, W);
            const real* rows = dy + (((i64)n * group + g) * outputs + first_m) * outs + p;
            const real* from = x + ((i64)n * group + g) * channels * ins;
#pragma unroll
            for (u32 j = 0; j < EACH_SIDE; ++j) {
                u32 row = threadIdx.x / DEPTH + j * SIDE;
                a[d][row] = first_m + row < (u32)outputs && k < end ? rows[(i64)row * outs] : real(0);
                int at = source(start, offset[j], D, H, W);
                b[d][row] = at >= 0 && channel[j] >= 0 && k < end ? from[channel[j] + at] : real(0);
            }
            __syncthreads();
            multiply(a, b, sum);
            __syncthreads();
        }
        EACH_RESULT(row, col, first_m, first_n)
            if (row < outputs && col < columns) {
                i64 i = ((i64)g * outputs + row) * columns + col;
                if (slices == 1) dw[i] += sum[i_][j_];
                else part[(i64)slice * group * outputs * columns + i] = sum[i_][j_];
            }
    }
}

// dw[i] += sum over s of part[s, i]
extern "C" __global__ void add_parts(const real* part, real* dw, int count, int slices) {
    EACH(i, count) {
        real sum = 0;
        for (int s = 0; s < slices; ++s) sum += part[(i64)s * count + i];
        dw[i] += sum;
    }
}
