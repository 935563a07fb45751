// Caffe's sums of statistics: S_mean (C), S_variance (C), S_1 (1), beside what cuDNN computes. In double: there are few.
#include "common.cuh"

// After a batch: S = fraction S + new, the new ones being mean, correction (1 / inv_std^2 - eps) and 1.
extern "C" __global__ void keep_statistics(const real* mean, const real* inv_std, real* means, real* variances, real* weight,
                                           int channels, double fraction, double eps, double correction) {
    EACH(c, channels) {
        double inverse = inv_std[c], variance = 1 / (inverse * inverse) - eps;
        means[c] = (real)(fraction * means[c] + mean[c]);
        variances[c] = (real)(fraction * variances[c] + correction * (variance > 0 ? variance : 0));
        if (c == 0) *weight = (real)(fraction * *weight + 1);
    }
}

// y = factor x + offset is the normalisation of x + bias:  factor = gamma / sqrt(S_variance / S_1 + eps),
// offset = beta + (bias - S_mean / S_1) factor. All but the results may be null: no statistics, no gamma, no beta, no bias.
extern "C" __global__ void norm_factors(const real* means, const real* variances, const real* weight, const real* gamma,
                                        const real* beta, const real* bias, real* factor, real* offset, int channels,
                                        double eps) {
    EACH(c, channels) {
        double mean = 0, scale = gamma ? (double)gamma[c] : 1;
        if (means) {
            double part = *weight == 0 ? 0 : 1 / (double)*weight;
            mean = part * means[c];
            scale /= sqrt(part * variances[c] + eps);
        }
        factor[c] = (real)scale;
        offset[c] = (real)((beta ? (double)beta[c] : 0) + ((bias ? (double)bias[c] : 0) - mean) * scale);
    }
}
