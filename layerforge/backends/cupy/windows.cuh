// Convolution windows over up to three spatial axes; absent ones have size 1 and a kernel of 1.
#pragma once
#include "common.cuh"

struct Axis { int in, out, kernel, stride, pad, dilation; };
struct Place { int d, h, w; };

#define AXIS(a) int a##_in, int a##_out, int a##_kernel, int a##_stride, int a##_pad, int a##_dilation
#define GEOMETRY AXIS(d), AXIS(h), AXIS(w)
#define VALUES(a) {a##_in, a##_out, a##_kernel, a##_stride, a##_pad, a##_dilation}
#define AXES Axis D = VALUES(d), H = VALUES(h), W = VALUES(w)
#define INS (D.in * H.in * W.in)
#define OUTS (D.out * H.out * W.out)
#define TAPS (D.kernel * H.kernel * W.kernel)

// Number i of a box with these last two sizes.
__device__ Place place(u32 i, int h, int w) {
    return {(int)(i / (u32)w / (u32)h), (int)(i / (u32)w % (u32)h), (int)(i % (u32)w)};
}

// Where tap number i lies from the window's first place.
__device__ Place tap(u32 i, Axis D, Axis H, Axis W) {
    Place k = place(i, H.kernel, W.kernel);
    return {k.d * D.dilation, k.h * H.dilation, k.w * W.dilation};
}

// Where the window of output number i starts; before the first place where it is padded.
__device__ Place window(u32 i, Axis D, Axis H, Axis W) {
    Place p = place(i, H.out, W.out);
    return {p.d * D.stride - D.pad, p.h * H.stride - H.pad, p.w * W.stride - W.pad};
}

// The number of start + offset in x, -1 outside.
__device__ int source(Place start, Place offset, Axis D, Axis H, Axis W) {
    int d = start.d + offset.d, h = start.h + offset.h, w = start.w + offset.w;
    bool inside = (u32)d < (u32)D.in && (u32)h < (u32)H.in && (u32)w < (u32)W.in;
    return inside ? (d * H.in + h) * W.in + w : -1;
}

// The output of this axis whose tap, `offset` from its start, reads this place of x; -1 for none.
__device__ int reader(int at, int offset, Axis a) {
    int start = at + a.pad - offset;
    if (a.stride == 1) return (u32)start < (u32)a.out ? start : -1;
    return start >= 0 && start % a.stride == 0 && start / a.stride < a.out ? start / a.stride : -1;
}

// The number of the output whose tap reads place `at` of x, -1 for none.
__device__ int reader(Place at, Place offset, Axis D, Axis H, Axis W) {
    int d = reader(at.d, offset.d, D), h = reader(at.h, offset.h, H), w = reader(at.w, offset.w, W);
    return d < 0 || h < 0 || w < 0 ? -1 : (d * H.out + h) * W.out + w;
}
