// Windows of pooling along one axis, whatever the order of the values.
#pragma once

struct Axis { int size, outputs, kernel, stride, pad, pad_end; };
struct Span { int begin, end; };  // end is one behind the last

// Both axes as kernel arguments, and as values.
#define GEOMETRY int height, int rows, int kernel_h, int stride_h, int pad_h, int end_h, \
                 int width, int columns, int kernel_w, int stride_w, int pad_w, int end_w
#define AXES Axis v = {height, rows, kernel_h, stride_h, pad_h, end_h}, \
                  h = {width, columns, kernel_w, stride_w, pad_w, end_w}

__device__ int least(int a, int b) { return a < b ? a : b; }
__device__ int most(int a, int b) { return a < b ? b : a; }

// The part of window p that lies in the plane.
__device__ Span inside(int p, Axis a) {
    int begin = p * a.stride - a.pad;
    return {most(begin, 0), least(begin + a.kernel, a.size)};
}

// The windows that cover this place.
__device__ Span covering(int place, Axis a) {
    int first = place + a.pad - a.kernel + 1;  // where the first of them may start
    return {first <= 0 ? 0 : (first + a.stride - 1) / a.stride, least((place + a.pad) / a.stride + 1, a.outputs)};
}

// The size of window p: cut at size + pad_end, or at the plane.
__device__ int extent(int p, Axis a, int count_padding) {
    int begin = p * a.stride - a.pad;
    Span s = inside(p, a);
    return count_padding ? least(begin + a.kernel, a.size + a.pad_end) - begin : s.end - s.begin;
}

#define LOWEST (sizeof(real) == 4 ? -3.402823466e+38 : -1.7976931348623157e+308)  // the most negative finite number
