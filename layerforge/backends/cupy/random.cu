// Philox4x64-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011): block j of draw d encrypts the
// counter (j + 1, 0, 0, d). It starts at 1 because NumPy's generator counts before it draws.
#include "common.cuh"

struct Block { u64 word[4]; };

__device__ Block philox(Block x, u64 key0, u64 key1) {
    for (int round = 0; round < 10; ++round) {
        const u64 m0 = 0xD2E7470EE14C6C93ull, m1 = 0xCA5A826395121157ull;
        u64 high0 = __umul64hi(m0, x.word[0]), low0 = m0 * x.word[0];
        u64 high1 = __umul64hi(m1, x.word[2]), low1 = m1 * x.word[2];
        x = {{high1 ^ x.word[1] ^ key0, low1, high0 ^ x.word[3] ^ key1, low0}};
        key0 += 0x9E3779B97F4A7C15ull;
        key1 += 0xBB67AE8584CAA73Bull;
    }
    return x;
}

// out[0 ... count-1]: the low, then the high half of each 64-bit word. A recorded iteration reads the draw's number from
// `row`, so that it can change from replay to replay.
extern "C" __global__ void random_bits(u32* out, int count, u64 key0, u64 key1, const u64* row, u64 number) {
    u64 draw = row ? *row : number;
    EACH(j, (u32)count / 8 + 1) {
        Block x = philox({{(u64)j + 1, 0, 0, draw}}, key0, key1);
#pragma unroll
        for (u32 w = 0; w < 8; ++w)
            if (8 * j + w < (u32)count) out[8 * j + w] = (u32)(x.word[w / 2] >> (w % 2 ? 32 : 0));
    }
}
