// What local response normalisation needs in every order of values.
#pragma once

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
