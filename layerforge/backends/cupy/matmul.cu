// c[g] = a[g] b[g], or c[g] += a[g] b[g]:  a (G, M, K), b (G, K, N), c (G, M, N)
//
// Every matrix is given by its strides, in elements, so a transposition is a swap of two strides and a repeated batch is
// a stride of 0. A block makes a TILE x TILE piece of c; a thread makes 4 x 4 numbers of it, 16 apart, in registers.
#include "common.cuh"

#define TILE 64
#define DEPTH 16            // of one step along K
#define SIDE 16             // threads along one edge of the tile: SIDE * SIDE == THREADS
#define EACH_SIDE (TILE / SIDE)

// Copies x[first ... first+TILE, k ... k+DEPTH] into shared memory, zeros outside; neighbours read neighbouring memory.
__device__ void load_tile(const real* x, int first, int count, i64 stride, int k, int depth, i64 k_stride,
                          real (*tile)[TILE + 1]) {
    for (int e = threadIdx.x; e < TILE * DEPTH; e += THREADS) {
        int row = k_stride == 1 ? e / DEPTH : e % TILE;
        int col = k_stride == 1 ? e % DEPTH : e / TILE;
        bool inside = first + row < count && k + col < depth;
        tile[col][row] = inside ? x[(first + row) * stride + (k + col) * k_stride] : real(0);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS)
matmul(const real* a, const real* b, real* c, int batch, int m, int n, int k, i64 a_batch, i64 a_row, i64 a_col,
       i64 b_batch, i64 b_row, i64 b_col, i64 c_batch, i64 c_row, i64 c_col, int add) {
    __shared__ real a_tile[DEPTH][TILE + 1], b_tile[DEPTH][TILE + 1];
    int tiles_m = (m + TILE - 1) / TILE, tiles_n = (n + TILE - 1) / TILE;
    int x = threadIdx.x % SIDE, y = threadIdx.x / SIDE;
    i64 tiles = (i64)batch * tiles_m * tiles_n;
    for (i64 t = blockIdx.x; t < tiles; t += gridDim.x) {
        int g = (int)(t / ((i64)tiles_m * tiles_n)), rest = (int)(t % ((i64)tiles_m * tiles_n));
        int first_m = rest / tiles_n * TILE, first_n = rest % tiles_n * TILE;
        real sum[EACH_SIDE][EACH_SIDE] = {};
        for (int step = 0; step < k; step += DEPTH) {
            load_tile(a + g * a_batch, first_m, m, a_row, step, k, a_col, a_tile);
            load_tile(b + g * b_batch, first_n, n, b_col, step, k, b_row, b_tile);
            __syncthreads();
#pragma unroll
            for (int d = 0; d < DEPTH; ++d) {
                real u[EACH_SIDE], v[EACH_SIDE];
#pragma unroll
                for (int i = 0; i < EACH_SIDE; ++i) {
                    u[i] = a_tile[d][y + i * SIDE];
                    v[i] = b_tile[d][x + i * SIDE];
                }
#pragma unroll
                for (int i = 0; i < EACH_SIDE; ++i)
#pragma unroll
                    for (int j = 0; j < EACH_SIDE; ++j) sum[i][j] += u[i] * v[j];
            }
            __syncthreads();
        }
#pragma unroll
        for (int i = 0; i < EACH_SIDE; ++i)
#pragma unroll
            for (int j = 0; j < EACH_SIDE; ++j) {
                int row = first_m + y + i * SIDE, col = first_n + x + j * SIDE;
                if (row < m && col < n) {
                    real* place = c + g * c_batch + row * c_row + col * c_col;
                    *place = add ? *place + sum[i][j] : sum[i][j];
                }
            }
    }
}
