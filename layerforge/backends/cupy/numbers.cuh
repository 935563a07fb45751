// The numbers of channels-last blobs: float, bfloat16 or half in memory, float in registers. Arithmetic alone, without
// CUDA's own headers, so that the kernels build for the CPU too.
#pragma once

#define FLOAT 0  // kinds
#define BFLOAT16 1
#define HALF 2

typedef unsigned short u16;
struct Bfloat16 { u16 bits; };
struct Half { u16 bits; };
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

__device__ float get(float x) { return x; }
__device__ float get(Bfloat16 x) { return from_bfloat16(x.bits); }
__device__ float get(Half x) { return from_half(x.bits); }
__device__ void put(float& x, float value) { x = value; }
__device__ void put(Bfloat16& x, float value) { x.bits = to_bfloat16(value); }
__device__ void put(Half& x, float value) { x.bits = to_half(value); }

// By a kind that is known only at run time.
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

// W neighbours that are read and written at once, 16 bytes at a time.
template <class T, int W> struct alignas(sizeof(T) * W < 16 ? sizeof(T) * W : 16) Pack { T x[W]; };
template <class T, int W> __device__ Pack<T, W> pack_of(const T* x, i64 i) { return ((const Pack<T, W>*)x)[i]; }
template <class T, int W> __device__ void set_pack(T* x, i64 i, Pack<T, W> values) { ((Pack<T, W>*)x)[i] = values; }

// Runs the statement with T, the type of this kind, and W, how many are taken at once: 16 bytes of them if `wide`.
#define WITH_KIND(kind, wide, ...) \
    switch ((kind) * 2 + ((wide) != 0)) { \
        case 2 * FLOAT: { typedef float T; const int W = 1; __VA_ARGS__ } break; \
        case 2 * FLOAT + 1: { typedef float T; const int W = 4; __VA_ARGS__ } break; \
        case 2 * BFLOAT16: { typedef Bfloat16 T; const int W = 1; __VA_ARGS__ } break; \
        case 2 * BFLOAT16 + 1: { typedef Bfloat16 T; const int W = 8; __VA_ARGS__ } break; \
        case 2 * HALF: { typedef Half T; const int W = 1; __VA_ARGS__ } break; \
        case 2 * HALF + 1: { typedef Half T; const int W = 8; __VA_ARGS__ } break; \
    }
#define ALL _Pragma("unroll") for (int k = 0; k < W; ++k)
