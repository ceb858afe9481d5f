/* Products of groups of rows with bfloat16 matrices, by AVX512-BF16: what a decoding MoE layer needs.

   A group's rows share a matrix. A matrix [n, k] is stored as pairs of blocks of 16 of its n rows,
   each pair [k / 2, 2 blocks, 16, 2], so that one load brings two values of 16 outputs to be
   multiplied with two values of a row of x, and a core reads one stream; missing rows of the last
   pair are zeros. With an activation, a pair holds the same 16 outputs of gate and of up, and
   act(gate) * up is stored.

   Sums are kept in float32 and rounded once. At few rows this streams the weights at the rate of
   memory; at more, rows share a chunk of weights in the cache while the next one arrives. */

#include <immintrin.h>
#include <math.h>
#include <omp.h>
#include <stdint.h>

typedef uint16_t bf16;

/* Rows multiplied at a time, outputs a block, rows that share a chunk of weights, values of k in a
   chunk, and how far ahead memory is asked where nothing is shared, in bytes. Up to FEW rows are
   through with the weights so soon that the processor's own prefetching is ahead of ours. */
enum { ROWS = 8, LANES = 16, SPAN = 32, CHUNK = 128, AHEAD = 8192, FEW = 5 };
enum { PLAIN, SILU, GELU, RELU2, SWIGLUOAI };

typedef float sums_t[2][LANES];

/* Add the products of `rows` rows of x and `twos` pairs of values of k to their sums; if `ask`, have
   the weights from `next` on brought into the second cache meanwhile, `stride` bytes a step. */
static inline __attribute__((always_inline)) void multiply(
    const int rows, const int ask, const bf16 *x, int64_t k, const bf16 *weights, int64_t twos,
    const char *next, int64_t stride, sums_t *sums)
{
    __m512 a[ROWS], b[ROWS];
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
        a[r] = _mm512_loadu_ps(sums[r][0]);
        b[r] = _mm512_loadu_ps(sums[r][1]);
    }
    for (int64_t p = 0; p < twos; p++) {
        const bf16 *here = weights + p * 4 * LANES;
        const __m512bh left = (__m512bh)_mm512_loadu_si512(here);
        const __m512bh right = (__m512bh)_mm512_loadu_si512(here + 2 * LANES);
        if (ask) {
            _mm_prefetch(next + p * stride, _MM_HINT_T1);
            _mm_prefetch(next + p * stride + 64, _MM_HINT_T1);
        }
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++) {
            const __m512bh two = (__m512bh)_mm512_set1_epi32(*(const int32_t *)(x + r * k + 2 * p));
            a[r] = _mm512_dpbf16_ps(a[r], left, two);
            b[r] = _mm512_dpbf16_ps(b[r], right, two);
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
        _mm512_storeu_ps(sums[r][0], a[r]);
        _mm512_storeu_ps(sums[r][1], b[r]);
    }
}

#define HEIGHT(rows)                                                                               \
    case rows:                                                                                     \
        if (ask)                                                                                   \
            multiply(rows, 1, x, k, weights, twos, next, stride, sums);                            \
        else                                                                                       \
            multiply(rows, 0, x, k, weights, twos, next, stride, sums);                            \
        break;

static void multiply_tile(
    int64_t rows, int ask, const bf16 *x, int64_t k, const bf16 *weights, int64_t twos,
    const char *next, int64_t stride, sums_t *sums)
{
    switch (rows) {
    HEIGHT(1) HEIGHT(2) HEIGHT(3) HEIGHT(4) HEIGHT(5) HEIGHT(6) HEIGHT(7) HEIGHT(8)
    }
}

/* Add the products of rows of x with a pair of blocks to their sums. */
static void multiply_pair(int64_t rows, const bf16 *x, int64_t k, const bf16 *weights, sums_t *sums)
{
    const int64_t step = LANES * 4 * sizeof(bf16);
    if (rows <= ROWS) {
        const char *next = (const char *)weights + AHEAD;
        multiply_tile(rows, rows > FEW, x, k, weights, k / 2, next, step, sums);
        return;
    }
    const int64_t tiles = (rows + ROWS - 1) / ROWS, stride = step / tiles;
    for (int64_t done = 0; done < k; done += CHUNK) {
        const int64_t twos = (k - done < CHUNK ? k - done : CHUNK) / 2;
        const bf16 *chunk = weights + done * 2 * LANES;
        for (int64_t tile = 0; tile < tiles; tile++) {
            /* Tiles of about the same height: nine rows are five and four. Each tile asks for its
               part of the next chunk. */
            const int64_t low = rows * tile / tiles, high = rows * (tile + 1) / tiles;
            const char *next = (const char *)chunk + twos * (step + tile * stride);
            multiply_tile(
                high - low, 1, x + low * k + done, k, chunk, twos, next, stride, sums + low);
        }
    }
}

static void store(const float *sums, bf16 *y, int64_t columns)
{
    if (columns <= 0)
        return;
    const __mmask16 mask = columns >= LANES ? 0xffff : (1u << columns) - 1;
    const __m256i rounded = (__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(sums));
    _mm256_mask_storeu_epi16(y, mask, rounded);
}

/* x / (1 + e^-y). With -ffast-math an infinity may become anything: the power stays finite. */
static inline float over_one_plus_exp(float x, float y) { return x / (1 + expf(fminf(-y, 80))); }

/* act(gate) * up in place of gate; the definitions are those of bench/kernels/moe/math.py. */
static void activate(int activation, float *gate, const float *up)
{
    switch (activation) {
    case SILU:
#pragma omp simd
        for (int i = 0; i < LANES; i++)
            gate[i] = over_one_plus_exp(gate[i], gate[i]) * up[i];
        break;
    case GELU:
#pragma omp simd
        for (int i = 0; i < LANES; i++) {
            const float g = gate[i];
            gate[i] = over_one_plus_exp(g, 1.5957691216f * (g + 0.044715f * g * g * g)) * up[i];
        }
        break;
    case RELU2:
#pragma omp simd
        for (int i = 0; i < LANES; i++) {
            const float g = fmaxf(gate[i], 0);
            gate[i] = g * g * up[i];
        }
        break;
    default:
#pragma omp simd
        for (int i = 0; i < LANES; i++) {
            const float g = fminf(gate[i], 7), u = fminf(fmaxf(up[i], -7), 7);
            gate[i] = over_one_plus_exp(g, 1.702f * g) * (u + 1);
        }
    }
}

/* y [rows, columns] of x [rows, k], row r of group g being starts[g] <= r < starts[g + 1];
   weights [groups, pairs, k / 2, 2, 16, 2], k even. */
void grouped_product(
    const bf16 *x, int64_t k, const int64_t *starts, int64_t groups, const bf16 *weights,
    int64_t pairs, bf16 *y, int64_t columns, int activation)
{
    const int64_t units = groups * pairs;
    /* Consecutive units are neighbors in memory: a core takes several, and prefetches across them. */
    const int64_t together = units / (16 * omp_get_max_threads());
#pragma omp parallel for schedule(dynamic, together > 0 ? together : 1)
    for (int64_t unit = 0; unit < units; unit++) {
        const int64_t group = unit / pairs, pair = unit % pairs, end = starts[group + 1];
        /* Many rows keep the multiplier busy by themselves, longest with as few sums as it has. */
        const int64_t span = end - starts[group] > SPAN ? ROWS : SPAN;
        for (int64_t first = starts[group]; first < end; first += span) {
            const int64_t rows = end - first < span ? end - first : span;
            sums_t sums[SPAN] = {{{0}}};
            multiply_pair(rows, x + first * k, k, weights + unit * 2 * LANES * k, sums);
            for (int64_t r = 0; r < rows; r++) {
                bf16 *row = y + (first + r) * columns;
                if (activation == PLAIN) {
                    const int64_t column = pair * 2 * LANES;
                    store(sums[r][0], row + column, columns - column);
                    store(sums[r][1], row + column + LANES, columns - column - LANES);
                } else {
                    activate(activation, sums[r][0], sums[r][1]);
                    store(sums[r][0], row + pair * LANES, columns - pair * LANES);
                }
            }
        }
    }
}
