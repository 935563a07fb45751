// The k largest of each column of x (outer, C, inner), largest first, of equal ones the larger index first; or the k
// smallest, of equal ones the smaller index first. NaN counts as larger than every number.
// index, values (outer, k, inner)
//
// A block takes `width` neighbouring columns and spreads its threads over the channels of each; every pass over a column
// finds what comes next behind the one found last.
#include "common.cuh"

__device__ bool larger(real a, real b) { return a > b || (a != a && b == b); }

// Whether a, at place i, stands before b, at place j.
__device__ bool before(real a, int i, real b, int j, int smallest) {
    if (smallest) return larger(b, a) || (!larger(a, b) && i < j);
    return larger(a, b) || (!larger(b, a) && i > j);
}

extern "C" __global__ void __launch_bounds__(THREADS)
top_k(const real* x, int* index, real* values, int columns, int channels, int inner, int k, int smallest, int width) {
    __shared__ real value[THREADS];
    __shared__ int place[THREADS];
    int lane = threadIdx.x % width, line = threadIdx.x / width, lines = THREADS / width;
    for (u32 first = blockIdx.x * width; first < (u32)columns; first += gridDim.x * width) {
        u32 column = first + lane;
        int count = column < (u32)columns ? channels : 0, last = -1;
        i64 outer = column / inner, i = column % inner;
        const real* start = x + outer * channels * inner + i;
        for (int rank = 0; rank < k; ++rank) {
            real best = 0, previous = last < 0 ? real(0) : start[(i64)last * inner];
            int found = -1;
            for (int c = line; c < count; c += lines) {
                real v = start[(i64)c * inner];
                if (last >= 0 && !before(previous, last, v, c, smallest)) continue;
                if (found < 0 || before(v, c, best, found, smallest)) best = v, found = c;
            }
            value[threadIdx.x] = best, place[threadIdx.x] = found;
            __syncthreads();
            for (int half = lines / 2; half > 0; half /= 2) {
                if (line < half) {
                    int other = threadIdx.x + half * width, mine = threadIdx.x;
                    if (place[other] >= 0 &&
                        (place[mine] < 0 || before(value[other], place[other], value[mine], place[mine], smallest)))
                        value[mine] = value[other], place[mine] = place[other];
                }
                __syncthreads();
            }
            last = place[lane];
            if (line == 0 && count) {
                i64 to = (outer * k + rank) * inner + i;
                index[to] = last;
                values[to] = value[lane];
            }
            __syncthreads();  // both may be written again
        }
    }
}
