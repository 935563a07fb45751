// Resizing of planes: x, dx (N*C, height, width), y, dy (N*C, rows, columns), by taps along both axes.
#include "common.cuh"

// y[p,q] = sum over s, t of down[p,s] across[q,t] x[row[p,s], column[q,t]];  row, down (rows, high), column, across
// (columns, wide)
extern "C" __global__ void resize(const real* x, real* y, int count, const int* row, const real* down, const int* column,
                                  const real* across, int height, int width, int rows, int columns, int high, int wide) {
    EACH(i, count) {
        u32 q = i % (u32)columns, p = i / (u32)columns % (u32)rows;
        const real* plane = x + (i64)(i / (u32)columns / (u32)rows) * height * width;
        real sum = 0;
        for (int s = 0; s < high; ++s) {
            const real* line = plane + row[p * high + s] * width;
            real part = 0;
            for (int t = 0; t < wide; ++t) part += across[q * wide + t] * line[column[q * wide + t]];
            sum += down[p * high + s] * part;
        }
        y[i] = sum;
    }
}

// The transpose. The taps that read row i are the numbers down_start[i] ... down_start[i + 1] - 1 of row and down: the output
// and its weight. Columns likewise.
extern "C" __global__ void resize_gradient(const real* dy, real* dx, int count, const int* down_start, const int* row,
                                           const real* down, const int* across_start, const int* column, const real* across,
                                           int height, int width, int rows, int columns) {
    EACH(i, count) {
        u32 w = i % (u32)width, h = i / (u32)width % (u32)height;
        const real* plane = dy + (i64)(i / (u32)width / (u32)height) * rows * columns;
        real sum = 0;
        for (int s = down_start[h]; s < down_start[h + 1]; ++s) {
            const real* line = plane + row[s] * columns;
            real part = 0;
            for (int t = across_start[w]; t < across_start[w + 1]; ++t) part += across[t] * line[column[t]];
            sum += down[s] * part;
        }
        dx[i] = sum;
    }
}
