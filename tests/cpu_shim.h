// Lets g++ build a kernel file for the CPU: the threads of a block are coroutines that change places at __syncthreads.
#include <math.h>
#include <setjmp.h>
#include <stdlib.h>
#include <ucontext.h>
#include <utility>
#include <vector>
#define __global__
#define __device__ inline
#define __shared__ static
#define __launch_bounds__(...)
#define __forceinline__ inline
struct Index { unsigned x = 0, y = 0, z = 0; };
static Index threadIdx, blockIdx, blockDim, gridDim;
static unsigned long long __umul64hi(unsigned long long a, unsigned long long b) { return (unsigned __int128)a * b >> 64; }
static double __dmul_rn(double a, double b) { return a * b; }
static double __dadd_rn(double a, double b) { return a + b; }
static int atomicMax(int* place, int value) { int old = *place; *place = value > old ? value : old; return old; }
template <class T> T min(T a, T b) { return b < a ? b : a; }
template <class T> T max(T a, T b) { return a < b ? b : a; }

// Each thread is entered once by its context and lives from block to block; from then on _longjmp changes places, since
// swapcontext asks the system for the signal mask each time.
struct Thread { ucontext_t context; jmp_buf place; char stack[1 << 16]; bool begun, done; };
static std::vector<Thread> threads;
static jmp_buf scheduler;
static void (*body)();
static bool alone;  // threads run one after the other to their ends: for kernels whose threads never wait
static void leave() { if (!_setjmp(threads[threadIdx.x].place)) _longjmp(scheduler, 1); }
static void __syncthreads() { if (alone) abort(); leave(); }
static void live() { for (;;) body(), threads[threadIdx.x].done = true, leave(); }
static __attribute__((noinline)) void enter(Thread& t) {
    if (_setjmp(scheduler)) return;
    if (t.begun) _longjmp(t.place, 1);
    t.begun = true, setcontext(&t.context);
}
static void make(unsigned size) {
    threads = std::vector<Thread>(size);
    for (Thread& t : threads) {
        getcontext(&t.context);
        t.context.uc_stack = {t.stack, 0, sizeof t.stack};
        makecontext(&t.context, live, 0);
    }
}

// A grid of blocks of `size` threads; arguments are given by their addresses, as to CUDA's own launch.
static void grid(unsigned blocks, unsigned size, void (*kernel)()) {
    if (!alone && threads.size() != size) make(size);
    body = kernel, blockDim.x = size, gridDim.x = blocks;
    for (blockIdx.x = 0; alone && blockIdx.x < blocks; ++blockIdx.x)
        for (threadIdx.x = 0; threadIdx.x < size; ++threadIdx.x) body();
    for (blockIdx.x = 0; !alone && blockIdx.x < blocks; ++blockIdx.x) {
        for (Thread& t : threads) t.done = false;
        for (bool running = true; running;) {
            running = false;
            for (unsigned turn = 0; turn < size; ++turn) {  // in either order, so that a missing __syncthreads shows
                threadIdx.x = BACKWARDS ? size - 1 - turn : turn;
                if (!threads[threadIdx.x].done) running = true, enter(threads[threadIdx.x]);
            }
        }
    }
}
template <class... A, size_t... I> static void call(void (*f)(A...), void** a, std::index_sequence<I...>) { f(*(A*)a[I]...); }
template <auto f, class... A> static void run(void (*)(A...), unsigned blocks, unsigned size, void** arguments) {
    static void** given;
    given = arguments;
    grid(blocks, size, [] { call(f, given, std::index_sequence_for<A...>()); });
}
#define KERNEL(name, waits) \
    extern "C" void run_##name(unsigned g, unsigned b, void** a) { alone = !(waits), run<name>(name, g, b, a); }
