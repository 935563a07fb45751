// x, y, scale, dy, dx (N, C, inner). The neighbours of channel c are c - size/2 ... c + size/2, where they exist.
#include "common.cuh"
#include "lrn.cuh"

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
