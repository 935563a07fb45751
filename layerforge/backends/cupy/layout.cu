// Plain order x (N, C, P) to and from channels last y (N, P, padded), whose numbers are float, bfloat16 or half. Channels
// beyond C are zero. A block turns a tile of 32 channels and 32 positions over in shared memory, so that both sides are
// read and written along their rows.
#include "common.cuh"
#include "numbers.cuh"

#define SIDE 32
#define TILES(last) \
    u32 across = (positions + SIDE - 1) / SIDE, down = ((last) + SIDE - 1) / SIDE; \
    int lane = threadIdx.x % SIDE, line = threadIdx.x / SIDE; \
    for (u32 t = blockIdx.x; t < (u32)samples * across * down; t += gridDim.x)
#define TILE u32 n = t / (across * down), first_c = t / across % down * SIDE, first_p = t % across * SIDE

extern "C" __global__ void __launch_bounds__(THREADS)
pack(const real* x, void* y, int samples, int channels, int padded, int positions, int kind) {
    __shared__ real tile[SIDE][SIDE + 1];
    TILES(padded) {
        TILE;
        for (u32 r = line; r < SIDE; r += THREADS / SIDE) {
            u32 c = first_c + r, p = first_p + lane;
            tile[r][lane] = c < (u32)channels && p < (u32)positions ? x[((i64)n * channels + c) * positions + p] : real(0);
        }
        __syncthreads();
        for (u32 r = line; r < SIDE; r += THREADS / SIDE) {
            u32 c = first_c + lane, p = first_p + r;
            if (c < (u32)padded && p < (u32)positions) store(y, ((i64)n * positions + p) * padded + c, tile[lane][r], kind);
        }
        __syncthreads();  // `tile` may be written again
    }
}

// x = y, or x += y
extern "C" __global__ void __launch_bounds__(THREADS)
unpack(const void* y, real* x, int samples, int channels, int padded, int positions, int kind, int add) {
    __shared__ real tile[SIDE][SIDE + 1];
    TILES(channels) {
        TILE;
        for (u32 r = line; r < SIDE; r += THREADS / SIDE) {
            u32 c = first_c + lane, p = first_p + r;
            bool inside = c < (u32)channels && p < (u32)positions;
            tile[lane][r] = inside ? load(y, ((i64)n * positions + p) * padded + c, kind) : real(0);
        }
        __syncthreads();
        for (u32 r = line; r < SIDE; r += THREADS / SIDE) {
            u32 c = first_c + r, p = first_p + lane;
            if (c < (u32)channels && p < (u32)positions) {
                real* place = x + ((i64)n * channels + c) * positions + p;
                *place = add ? *place + tile[r][lane] : tile[r][lane];
            }
        }
        __syncthreads();  // `tile` may be written again
    }
}
