// Mean pooling of regions where bin (i, j) has channels of its own: x, dx (N, D G G, H, W), y, dy (R, D, G, G).
#include "common.cuh"

struct Span { int begin, end; };  // end is one behind the last

__device__ int cut(double value, int size) { return value < 0 ? 0 : value > size ? size : (int)value; }

// Bin i of the axis of a region whose corners are first, last. Each product and sum is rounded on its own, as on the host:
// a fused one would move a bin's edge.
__device__ Span bin(int i, int bins, double first, double last, int size, double scale) {
    double start = __dmul_rn(round(first), scale), end = __dmul_rn(round(last) + 1, scale);
    double length = __dadd_rn(end, -start), step = (length > 0.1 ? length : 0.1) / bins;
    return {cut(floor(__dadd_rn(__dmul_rn(i, step), start)), size),
            cut(ceil(__dadd_rn(__dmul_rn(i + 1, step), start)), size)};
}

extern "C" __global__ void ps_roi_pool(const real* x, const int* batch, const real* regions, real* y, int count,
                                       int samples, int outputs, int bins, int height, int width, double scale) {
    EACH(o, count) {
        u32 j = o % (u32)bins, i = o / (u32)bins % (u32)bins, d = o / (u32)(bins * bins) % (u32)outputs;
        u32 r = o / (u32)(bins * bins) / (u32)outputs;
        const real* corner = regions + (i64)r * 5 + 1;  // x1, y1, x2, y2
        if ((u32)batch[r] >= (u32)samples) {            // found bad
            y[o] = (real)nanf("");
            continue;
        }
        Span v = bin(i, bins, corner[1], corner[3], height, scale), h = bin(j, bins, corner[0], corner[2], width, scale);
        i64 channel = (i64)batch[r] * outputs * bins * bins + (d * bins + i) * bins + j;
        const real* plane = x + channel * height * width;
        double sum = 0;
        for (int row = v.begin; row < v.end; ++row)
            for (int column = h.begin; column < h.end; ++column) sum += plane[(i64)row * width + column];
        i64 area = v.end > v.begin && h.end > h.begin ? (i64)(v.end - v.begin) * (h.end - h.begin) : 0;
        y[o] = area ? (real)(sum / area) : real(0);
    }
}

// dx[n,c,row,column] = the sum of dy / size over the bins that cover the place: it asks every region.
extern "C" __global__ void ps_roi_pool_gradient(const real* dy, const int* batch, const real* regions, real* dx, int count,
                                                int regions_count, int outputs, int bins, int height, int width,
                                                double scale) {
    EACH(e, count) {
        int column = e % (u32)width, row = e / (u32)width % (u32)height;
        u32 channel = e / (u32)width / (u32)height, j = channel % bins, i = channel / bins % bins;
        u32 d = channel / bins / bins % outputs;
        int n = channel / bins / bins / outputs;
        double sum = 0;
        for (int r = 0; r < regions_count; ++r) {
            if (batch[r] != n) continue;
            const real* corner = regions + (i64)r * 5 + 1;
            Span v = bin(i, bins, corner[1], corner[3], height, scale);
            if (row < v.begin || row >= v.end) continue;
            Span h = bin(j, bins, corner[0], corner[2], width, scale);
            if (column < h.begin || column >= h.end) continue;
            sum += (double)dy[(((i64)r * outputs + d) * bins + i) * bins + j] / ((v.end - v.begin) * (h.end - h.begin));
        }
        dx[e] = (real)sum;
    }
}
