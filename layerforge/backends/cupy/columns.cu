// im2col and its transpose: x (N, C, ...), col (N, C taps, ...)
#include "windows.cuh"

// col[n,(c,tap),p] = x[n,c,window p + tap], zeros outside x
extern "C" __global__ void im2col(const real* x, real* col, int count, GEOMETRY) {
    AXES;
    u32 ins = INS, outs = OUTS, taps = TAPS;
    EACH(i, count) {
        int at = source(window(i % outs, D, H, W), tap(i / outs % taps, D, H, W), D, H, W);
        col[i] = at < 0 ? real(0) : x[(i64)(i / outs / taps) * ins + at];
    }
}

// x[n,c,q] = sum of col[n,(c,tap),p] wherever window p + tap = q
extern "C" __global__ void col2im(const real* col, real* x, int count, GEOMETRY) {
    AXES;
    u32 ins = INS, outs = OUTS, taps = TAPS;
    EACH(i, count) {
        Place at = place(i % ins, H.in, W.in);
        const real* from = col + (i64)(i / ins) * taps * outs;
        real sum = 0;
        for (u32 k = 0; k < taps; ++k) {
            int p = reader(at, tap(k, D, H, W), D, H, W);
            if (p >= 0) sum += from[(i64)k * outs + p];
        }
        x[i] = sum;
    }
}
