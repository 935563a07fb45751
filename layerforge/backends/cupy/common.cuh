// What every kernel file shares. REAL is the number type of a module: -DREAL=double; float when compiled alone.
#pragma once

#ifndef REAL
#define REAL float
#endif

typedef REAL real;
typedef long long i64;
typedef unsigned int u32;
typedef unsigned long long u64;

// Visits 0 ... n-1 once, whatever the grid: `EACH(i, n) y[i] = f(x[i]);` Unsigned, so that the last step cannot overflow.
#define EACH(i, n) \
    for (u32 i = blockIdx.x * blockDim.x + threadIdx.x; i < (u32)(n); i += gridDim.x * blockDim.x)

// Threads in a block of the kernels that share memory; the launches in the ops classes use the same number.
#define THREADS 256
