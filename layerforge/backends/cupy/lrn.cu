// x, y, scale, dy, dx (N, C, inner). The neighbours of channel c are c - size/2 ... c + size/2, where they exist.
#include "common.cuh"

// scale^-beta; by roots for Caffe's usual 0.75, many times faster than a general power.
__device__ real inverse_power(real scale, real beta) {
    if (beta == real(0.75)) {
        real root = sqrt(scale);
        return 1 / (root * sqrt(root));
    }
    return pow(scale, -beta);
}

struct Neighbours { int begin, end; };  // end is one behind the last

__device__ Neighbours around(u32 i, int channels, int inner, int size) {
    int c = i / (u32)inner % (u32)channels, half = size / 2;
    return {c - half < 0 ? -c : -half, c + half >= channels ? channels - c : half + 1};
}

// scale = k + alpha/size sum x^2 over the neighbours,  y = x scale^-beta;  part = alpha/size
extern "C" __global__ void lrn(const real* x, real* y, real* scale, int count, int channels, int inner, int size, real part,
                               real beta, real k) {
    EACH(i, count) {
        Neighbours near = around(i, channels, inner, size);
        real sum = 0;
        for (int shift = near.begin; shift < near.end; ++shift) {
            real value = x[(i64)i + (i64)shift * inner];
            sum += value * value;
        }
        real total = k + part * sum;
        scale[i] = total;
        y[i] = x[i] * inverse_power(total, beta);
    }
}

// dx = dy scale^-beta - factor x sum dy x scale^(-beta-1) over the neighbours;  factor = 2 alpha beta/size
extern "C" __global__ void lrn_gradient(const real* dy, const real* x, const real* scale, real* dx, int count, int channels,
                                        int inner, int size, real factor, real beta) {
    EACH(i, count) {
        Neighbours near = around(i, channels, inner, size);
        real sum = 0;
        for (int shift = near.begin; shift < near.end; ++shift) {
            i64 at = (i64)i + (i64)shift * inner;
            sum += dy[at] * x[at] * inverse_power(scale[at], beta) / scale[at];
        }
        dx[i] = dy[i] * inverse_power(scale[i], beta) - factor * x[i] * sum;
    }
}
