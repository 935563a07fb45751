// Pictures of a batch, each of its own size, to numbers: cropped, mirrored, without their mean, scaled, turned over.
#include "common.cuh"
#include "numbers.cuh"

// What a row says of a picture (H, W, C) of bytes; `pitch` bytes from row to row. reversed: its first channel is our last.
enum { ADDRESS, PITCH, TOP, LEFT, MIRRORED, REVERSED, ROW };

// y[n,c,i,j] = scale (x_n[top + i, left + j or its mirror, c] - mean[c, ...]). y is plain (N, C, H, W) where padded is 0,
// else channels last (N, H, W, padded) of this kind. mean: nothing, or a step for each of its axes, 0 where it has one
// value for all. A thread takes a place of a picture, so that neighbours read neighbours and write neighbours.
extern "C" __global__ void transform(const i64* rows, const real* mean, void* y, int samples, int channels, int height,
                                     int width, int padded, int kind, int mean_channel, int mean_row, int mean_column,
                                     real scale) {
    u32 places = (u32)height * width;
    EACH(t, (u32)samples * places) {
        u32 n = t / places, place = t % places, i = place / width, j = place % width;
        const i64* row = rows + (i64)n * ROW;
        int line = (int)row[TOP] + i, column = (int)row[LEFT] + (row[MIRRORED] ? width - 1 - j : j);
        const unsigned char* x = (const unsigned char*)row[ADDRESS] + line * row[PITCH] + (i64)column * channels;
        for (int c = 0; c < channels; ++c) {
            real value = x[row[REVERSED] ? channels - 1 - c : c];
            if (mean) value -= mean[(i64)c * mean_channel + (i64)line * mean_row + (i64)column * mean_column];
            value *= scale;
            if (padded) store(y, (i64)t * padded + c, value, kind);
            else ((real*)y)[((i64)n * channels + c) * places + place] = value;
        }
        for (int c = channels; c < padded; ++c) store(y, (i64)t * padded + c, 0, kind);
    }
}
