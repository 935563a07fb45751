// Plain order x (N, C, P) to and from channels last y (N, P, padded), whose numbers are float, bfloat16 or half. Channels
// beyond C are zero. A block turns a tile of 32 channels and 32 positions over in shared memory, so that both sides are
// read and written along their rows.
#include "common.cuh"

#define SIDE 32
#define FLOAT 0  // kinds of y
#define BFLOAT16 1
#define HALF 2

typedef unsigned short u16;
union Bits { float value; u32 bits; };

// Rounded to nearest, halves to even; NaN stays NaN.
__device__ u16 to_bfloat16(float value) {
    Bits b;
    b.value = value;
    if (value != value) return (u16)(b.bits >> 16 | 64);
    return (u16)((b.bits + 0x7fff + (b.bits >> 16 & 1)) >> 16);
}
__device__ float from_bfloat16(u16 value) {
    Bits b;
    b.bits = (u32)value << 16;
    return b.value;
}
__device__ u16 to_half(float value) {
    Bits b;
    b.value = value;
    u32 sign = b.bits >> 16 & 0x8000u, size = b.bits & 0x7fffffffu;
    if (size > 0x7f800000u) return (u16)(sign | 0x7e00);                  // NaN
    if (size >= 0x477ff000u) return (u16)(sign | 0x7c00);                 // beyond the largest half: infinity
    if (size >= 0x38800000u)                                              // a normal half
        return (u16)(sign | ((size - 0x38000000u + 0xfff + (size >> 13 & 1)) >> 13));
    b.bits = size;
    b.value += 0.5f;  // the sum's last bits are the half's: its numbers below 2^-14 are 2^-24 apart
    return (u16)(sign | (b.bits - 0x3f000000u));
}
__device__ float from_half(u16 value) {
    Bits b;
    u32 sign = (u32)(value & 0x8000) << 16, size = value & 0x7fff;
    if (size >= 0x7c00) b.bits = size << 13 | 0x7f800000u;
    else if (size >= 0x400) b.bits = (size << 13) + 0x38000000u;
    else b.value = size * 5.9604644775390625e-8f;  // 2^-24
    b.bits |= sign;
    return b.value;
}

__device__ real load(const void* y, i64 i, int kind) {
    if (kind == BFLOAT16) return from_bfloat16(((const u16*)y)[i]);
    if (kind == HALF) return from_half(((const u16*)y)[i]);
    return ((const real*)y)[i];
}
__device__ void store(void* y, i64 i, real value, int kind) {
    if (kind == BFLOAT16) ((u16*)y)[i] = to_bfloat16((float)value);
    else if (kind == HALF) ((u16*)y)[i] = to_half((float)value);
    else ((real*)y)[i] = value;
}

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

// dy = dy where y > 0, else 0
extern "C" __global__ void relu_mask(void* dy, const void* y, int count, int kind) {
    EACH(i, count)
        if (!(load(y, i, kind) > 0)) store(dy, i, 0, kind);
}
