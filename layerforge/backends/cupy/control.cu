// The device judges its own iterations: whether the loss is finite, how long the gradient is, and so whether and how far
// the parameters move. No kernel here waits for the host.
#include "common.cuh"
#include "control.cuh"

__device__ bool is_finite(double x) { return x - x == 0; }

// The first thing of an iteration.
extern "C" __global__ void begin_iteration(double* control) {
    EACH(i, 1) control[LOSS] = control[SQUARES] = control[OVERFLOWED] = 0;
}

// live = sent: the numbers of this iteration, unless the run is halted.
extern "C" __global__ void take_numbers(u64* live, const u64* sent, int count, const double* control) {
    if (control[HALTED]) return;
    EACH(i, count) live[i] = sent[i];
}

// x = batches[turn], a batch that has come over another stream. Nothing for another turn, or while the run is halted:
// then the last batch stays.
extern "C" __global__ void take_batch(real* x, const real* even, const real* odd, int count, const double* control,
                                      const double* row, double turn) {
    double which = row ? row[0] : turn;
    if (control[HALTED] || (which != 0 && which != 1)) return;
    const real* batch = which ? odd : even;
    EACH(i, count) x[i] = batch[i];
}

// One block: BATCH += weight * sum of y, or with first: BATCH = the same; with last: then LOSS += BATCH.
extern "C" __global__ void __launch_bounds__(THREADS)
add_loss(const real* y, int count, double weight, int first, int last, double* control) {
    __shared__ double sums[THREADS];
    double sum = 0;
    if (blockIdx.x) return;
    for (u32 i = threadIdx.x; i < (u32)count; i += THREADS) sum += (double)y[i];
    sums[threadIdx.x] = sum;
    __syncthreads();
    for (u32 half = THREADS / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
        __syncthreads();
    }
    if (threadIdx.x) return;
    double value = __dmul_rn(weight, sums[0]);
    control[BATCH] = first ? value : __dadd_rn(control[BATCH], value);
    if (last) control[LOSS] = __dadd_rn(control[LOSS], control[BATCH]);
}

// dy = weight * loss scale: where backward begins.
extern "C" __global__ void seed_loss(real* dy, int count, double weight, const double* control) {
    EACH(i, count) dy[i] = (real)(weight * control[LOSS_SCALE]);
}

// Writes the judgement of this iteration into its row of `kept`, (rows, KEPT), in turn.
// watch: a loss that is not finite halts the run.  bound: clip_gradients, below 0 for none.  batches: iter_size.
// patience: good iterations before the loss scale doubles, up to `top`; it is halved after an overflow, down to 1. 0: it is
// fixed; below 0: there is none, and overflows are not looked for.
extern "C" __global__ void judge(double* control, double* kept, int rows, const double* row, double watch, double bound,
                                 double batches, double patience, double top) {
    EACH(i, 1) {
        control[MOVES] = 0;
        if (control[HALTED]) return;
        double most = row ? row[1] : bound, many = row ? row[2] : batches, wide = control[LOSS_SCALE];
        double patient = row ? row[3] : patience, highest = row ? row[4] : top;
        double loss = control[LOSS] / many, norm = sqrt(control[SQUARES]) / wide, factor = 1;
        bool overflowed = control[OVERFLOWED] != 0 || (patient >= 0 && !is_finite(control[SQUARES]));
        bool halts = (row ? row[0] : watch) != 0 && !is_finite(loss);
        if (most >= 0 && norm > most && !overflowed) factor = most / norm;
        control[SCALE] = factor / many / wide;
        control[HALTED] = halts;
        control[MOVES] = !halts && !overflowed;
        double* mine = kept + (i64)control[JUDGED] % rows * KEPT;
        mine[0] = loss, mine[1] = norm, mine[2] = factor, mine[3] = control[MOVES];
        control[JUDGED] += 1;
        if (halts || patient <= 0) return;
        control[GOOD] = overflowed ? 0 : control[GOOD] + 1;
        if (overflowed) control[LOSS_SCALE] = wide / 2 < 1 ? 1 : wide / 2;
        else if (control[GOOD] >= patient) control[LOSS_SCALE] = 2 * wide > highest ? highest : 2 * wide, control[GOOD] = 0;
    }
}
