/* RoIAlign of every level of a pyramid: one source for the GPU and for the CPU that checks it.
 *
 * Plain C++14 without a header of CUDA, TensorRT or the standard library, so that nvcc, NVRTC and g++ all take it.
 * Knows no grid and no stream: a caller hands every function its place in the output. Host and device round alike at
 * every step, so both are meant to give the same bits; on the host this needs -ffp-contract=off.
 *
 * The definition is vision/roi_align.py: half-pixel aligned, the mean of 2 x 2 bilinear samples in each cell of a grid
 * laid over each box. The weight of a cell of the map is a product of one weight down and one across; neighbouring
 * samples share cells, so that an output cell reads 4 to 16 of them, each once.
 */
#ifndef GPT4ROI_ROI_ALIGN_CORE_H
#define GPT4ROI_ROI_ALIGN_CORE_H

#if defined(__CUDACC__)
#define GPT4ROI_EVERYWHERE __host__ __device__ __forceinline__
#else
#define GPT4ROI_EVERYWHERE inline
#endif
#if defined(__CUDA_ARCH__)
#define GPT4ROI_UNROLLED _Pragma("unroll")
#else
#define GPT4ROI_UNROLLED
#endif

namespace gpt4roi
{

constexpr int kMaxLevels = 4;
constexpr int kSamples = 2;  /* along each axis of an output cell */
constexpr int kMaxSide = 64; /* output cells along each axis */
constexpr int kMaxChannels = 65536;
constexpr int kMaxRegions = 65535; /* what a grid of CUDA counts along its third axis */
constexpr int kMaxCells = 1 << 24; /* of one axis of a map: what a float counts exactly */
constexpr float kMaxScale = 1e30f;
constexpr long long kMaxElements = 0x7fffffff; /* of a map: places in it are 32-bit, which saves registers */

/* One feature map. `scale`: its cells in one unit of the boxes. */
struct Level
{
    const void* features;
    int height;
    int width;
    float scale;
};

/* Everything a launch works on. `boxes`: x1 y1 x2 y2 of each region, float32. `output`: [n_regions, side, side,
 * n_levels * channels] with channels last, [n_regions, n_levels * channels, side, side] with channels first. */
struct Job
{
    Level levels[kMaxLevels];
    const float* boxes;
    void* output;
    int n_levels;
    int n_regions;
    int channels;
    int side;
};

/* --- arithmetic that no compiler may contract ------------------------------------------------------------------- */

/* A sample more than a cell outside a map reads nothing, so its value jumps there: a coordinate that is rounded in
 * other places than the definition's could land on the other side. */
GPT4ROI_EVERYWHERE float times(float a, float b)
{
#if defined(__CUDA_ARCH__)
    return __fmul_rn(a, b);
#else
    return a * b;
#endif
}

GPT4ROI_EVERYWHERE float plus(float a, float b)
{
#if defined(__CUDA_ARCH__)
    return __fadd_rn(a, b);
#else
    return a + b;
#endif
}

GPT4ROI_EVERYWHERE float divided(float a, float b)
{
#if defined(__CUDA_ARCH__)
    return __fdiv_rn(a, b);
#else
    return a / b;
#endif
}

GPT4ROI_EVERYWHERE float times_plus(float a, float b, float c)
{
#if defined(__CUDA_ARCH__)
    return __fmaf_rn(a, b, c);
#else
    return __builtin_fmaf(a, b, c);
#endif
}

GPT4ROI_EVERYWHERE unsigned int bits_of(float value)
{
#if defined(__CUDA_ARCH__)
    return __float_as_uint(value);
#else
    unsigned int bits;
    __builtin_memcpy(&bits, &value, sizeof bits);
    return bits;
#endif
}

GPT4ROI_EVERYWHERE float from_bits(unsigned int bits)
{
#if defined(__CUDA_ARCH__)
    return __uint_as_float(bits);
#else
    float value;
    __builtin_memcpy(&value, &bits, sizeof value);
    return value;
#endif
}

/* --- storage types ---------------------------------------------------------------------------------------------- */

/* The 16 bytes that are read and written at once. */
struct alignas(16) Words
{
    unsigned int word[4];
};

GPT4ROI_EVERYWHERE Words load(const void* place)
{
#if defined(__CUDA_ARCH__)
    const uint4 read = __ldg(static_cast<const uint4*>(place)); /* no launch writes what it reads */
    return Words{{read.x, read.y, read.z, read.w}};
#else
    Words words;
    __builtin_memcpy(&words, place, sizeof words);
    return words;
#endif
}

GPT4ROI_EVERYWHERE void store(void* place, const Words& words)
{
#if defined(__CUDA_ARCH__)
    *static_cast<uint4*>(place) = make_uint4(words.word[0], words.word[1], words.word[2], words.word[3]);
#else
    __builtin_memcpy(place, &words, sizeof words);
#endif
}

struct Float32
{
    using Element = float;
    static constexpr int kLanes = 4;

    static GPT4ROI_EVERYWHERE float widened(float element) { return element; }
    static GPT4ROI_EVERYWHERE float rounded(float value) { return value; }
    static GPT4ROI_EVERYWHERE float lane(const Words& words, int i) { return from_bits(words.word[i]); }
    static GPT4ROI_EVERYWHERE unsigned int packed(const float* values, int word) { return bits_of(values[word]); }
};

/* What the two 16-bit types share: two of them in a word, the first in its lower half. */
template <typename Type>
struct TwoInAWord
{
    using Element = unsigned short;
    static constexpr int kLanes = 8;

    static GPT4ROI_EVERYWHERE float lane(const Words& words, int i)
    {
        const unsigned int word = words.word[i / 2];
        return Type::widened(static_cast<unsigned short>(i % 2 ? word >> 16 : word & 0xffffu));
    }

    static GPT4ROI_EVERYWHERE unsigned int packed(const float* values, int word)
    {
        const unsigned int first = Type::rounded(values[2 * word]);
        const unsigned int second = Type::rounded(values[2 * word + 1]);
        return first | second << 16;
    }
};

/* IEEE 754 binary16, rounded to nearest, ties to even. */
struct Float16 : TwoInAWord<Float16>
{
    static GPT4ROI_EVERYWHERE float widened(unsigned short half)
    {
#if defined(__CUDA_ARCH__)
        float value;
        asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(half));
        return value;
#else
        const unsigned int sign = (half & 0x8000u) << 16;
        const unsigned int exponent = half >> 10 & 0x1fu;
        const unsigned int fraction = half & 0x3ffu;
        if (exponent == 0)
        {
            const float smallest = 5.9604644775390625e-8f;
            return from_bits(sign | bits_of(static_cast<float>(fraction) * smallest));
        }
        if (exponent == 31)
        {
            return from_bits(sign | 0x7f800000u | fraction << 13);
        }
        return from_bits(sign | (exponent + 112) << 23 | fraction << 13);
#endif
    }

    static GPT4ROI_EVERYWHERE unsigned short rounded(float value)
    {
#if defined(__CUDA_ARCH__)
        unsigned short half;
        asm("cvt.rn.f16.f32 %0, %1;" : "=h"(half) : "f"(value));
        return half;
#else
        const unsigned int sign = bits_of(value) >> 16 & 0x8000u;
        const unsigned int magnitude = bits_of(value) & 0x7fffffffu;
        unsigned int half;
        if (magnitude > 0x7f800000u)
        {
            return 0x7fffu; /* the one NaN that the GPU writes */
        }
        if (magnitude >= 0x477ff000u)
        {
            half = 0x7c00u; /* from halfway above the largest: infinity */
        }
        else if (magnitude < 0x38800000u)
        {
            /* Subnormal: a float between 0.5 and 1 has the very steps of a subnormal half. */
            half = bits_of(from_bits(magnitude) + 0.5f) - bits_of(0.5f);
        }
        else
        {
            half = (magnitude + 0xfffu + (magnitude >> 13 & 1u) - 0x38000000u) >> 13;
        }
        return static_cast<unsigned short>(sign | half);
#endif
    }
};

/* The upper half of a float32, rounded to nearest, ties to even. */
struct BFloat16 : TwoInAWord<BFloat16>
{
    static GPT4ROI_EVERYWHERE float widened(unsigned short upper)
    {
        return from_bits(static_cast<unsigned int>(upper) << 16);
    }

    static GPT4ROI_EVERYWHERE unsigned short rounded(float value)
    {
        const unsigned int bits = bits_of(value);
        if ((bits & 0x7fffffffu) > 0x7f800000u)
        {
            return 0x7fffu;
        }
        return static_cast<unsigned short>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
    }
};

/* --- one axis --------------------------------------------------------------------------------------------------- */

/* Where one sample reads along one axis: two neighbouring cells and their weights. */
struct Sample
{
    int lower;
    int upper;
    float lower_weight;
    float upper_weight;
};

/* Sample `number` of the `n_samples` that divide a box from `low` to `high`, in cells of a map with `n_cells`.
 *
 * Up to a cell outside, the edge cell counts; farther out the weights are 0. The cells lie in the map whatever the box
 * holds: every comparison that meets a NaN takes the safe side. */
GPT4ROI_EVERYWHERE Sample sample_at(float low, float high, int number, int n_samples, int n_cells)
{
    const float centre = divided(plus(static_cast<float>(number), 0.5f), static_cast<float>(n_samples));
    const float position = plus(plus(low, -0.5f), times(plus(high, -low), centre));
    const bool inside = position >= -1.0f && position <= static_cast<float>(n_cells);
    const float last = static_cast<float>(n_cells - 1);
    const float from_first = position > 0.0f ? position : 0.0f;
    const float clamped = from_first < last ? from_first : last;
    Sample sample;
    sample.lower = static_cast<int>(clamped);
    sample.upper = sample.lower + 1 < n_cells ? sample.lower + 1 : sample.lower;
    const float fraction = clamped - static_cast<float>(sample.lower);
    sample.lower_weight = inside ? 1.0f - fraction : 0.0f;
    sample.upper_weight = inside ? fraction : 0.0f;
    return sample;
}

/* The cells that one output cell reads along one axis: 2, 3 or 4, or 0 where both samples lie outside. What lies behind
 * `count` is not read. */
struct Taps
{
    int cell[4];
    float weight[4];
    int count;
};

GPT4ROI_EVERYWHERE Taps taps_at(float low, float high, int bin, int n_bins, int n_cells)
{
    const Sample first = sample_at(low, high, bin * kSamples, n_bins * kSamples, n_cells);
    const Sample second = sample_at(low, high, bin * kSamples + 1, n_bins * kSamples, n_cells);
    const float share = 1.0f / kSamples;
    const float weights[4] = {times(share, first.lower_weight), times(share, first.upper_weight),
        times(share, second.lower_weight), times(share, second.upper_weight)};
    Taps taps;
    taps.cell[0] = first.lower;
    taps.cell[1] = first.upper;
    taps.cell[2] = second.lower;
    taps.cell[3] = second.upper;
    GPT4ROI_UNROLLED
    for (int i = 0; i < 4; ++i)
    {
        taps.weight[i] = weights[i];
    }
    taps.count = 4;
    if (second.lower == first.lower)
    {
        taps.weight[0] = plus(weights[0], weights[2]);
        taps.weight[1] = plus(weights[1], weights[3]);
        taps.count = 2;
    }
    else if (second.lower == first.upper)
    {
        taps.weight[1] = plus(weights[1], weights[2]);
        taps.cell[2] = second.upper;
        taps.weight[2] = weights[3];
        taps.count = 3;
    }
    if (first.lower_weight + first.upper_weight + second.lower_weight + second.upper_weight == 0.0f)
    {
        taps.count = 0;
    }
    return taps;
}

/* Taps of one output cell along both axes. */
struct Window
{
    Taps down;
    Taps across;
};

GPT4ROI_EVERYWHERE Window window_at(const Job& job, const Level& level, int region, int row, int column)
{
    const float* box = job.boxes + 4LL * region;
    const float left = times(box[0], level.scale);
    const float top = times(box[1], level.scale);
    const float right = times(box[2], level.scale);
    const float bottom = times(box[3], level.scale);
    Window window;
    window.down = taps_at(top, bottom, row, job.side, level.height);
    window.across = taps_at(left, right, column, job.side, level.width);
    return window;
}

/* --- channels last ---------------------------------------------------------------------------------------------- */

/* Adds what a window of `kAcross` columns reads. All reads of a row are under way before the first is used. */
template <typename Storage, int kAcross>
GPT4ROI_EVERYWHERE void add_rows(
    const typename Storage::Element* vector, const Window& window, int width, int channels, float* sums)
{
    GPT4ROI_UNROLLED
    for (int i = 0; i < 4; ++i)
    {
        if (i >= window.down.count)
        {
            break;
        }
        const int row = window.down.cell[i] * width;
        Words words[kAcross];
        GPT4ROI_UNROLLED
        for (int j = 0; j < kAcross; ++j)
        {
            words[j] = load(vector + (row + window.across.cell[j]) * channels);
        }
        GPT4ROI_UNROLLED
        for (int j = 0; j < kAcross; ++j)
        {
            const float weight = times(window.down.weight[i], window.across.weight[j]);
            GPT4ROI_UNROLLED
            for (int lane = 0; lane < Storage::kLanes; ++lane)
            {
                sums[lane] = times_plus(weight, Storage::lane(words[j], lane), sums[lane]);
            }
        }
    }
}

/* One output cell of one level, for the channel vectors `first`, `first + step`, ... of 16 bytes each. */
template <typename Storage>
GPT4ROI_EVERYWHERE void align_channels_last(const Job& job, int region, int level_number, int cell, int first, int step)
{
    using Element = typename Storage::Element;
    const Level& level = job.levels[level_number];
    const Window window = window_at(job, level, region, cell / job.side, cell % job.side);
    const Element* features = static_cast<const Element*>(level.features);
    const long long output_cell = static_cast<long long>(region) * job.side * job.side + cell;
    Element* output =
        static_cast<Element*>(job.output) + (output_cell * job.n_levels + level_number) * job.channels;
    for (int channel = first * Storage::kLanes; channel < job.channels; channel += step * Storage::kLanes)
    {
        float sums[Storage::kLanes] = {};
        switch (window.across.count)
        {
        case 2: add_rows<Storage, 2>(features + channel, window, level.width, job.channels, sums); break;
        case 3: add_rows<Storage, 3>(features + channel, window, level.width, job.channels, sums); break;
        case 4: add_rows<Storage, 4>(features + channel, window, level.width, job.channels, sums); break;
        default: break;
        }
        Words words;
        GPT4ROI_UNROLLED
        for (int word = 0; word < 4; ++word)
        {
            words.word[word] = Storage::packed(sums, word);
        }
        store(output + channel, words);
    }
}

/* --- channels first --------------------------------------------------------------------------------------------- */

/* One output cell of one level, for `n` channels from `first` on. Reads are single elements, because neighbours in
 * memory are neighbours in the row, and how many of those a cell reads depends on the box. */
template <typename Storage>
GPT4ROI_EVERYWHERE void align_channels_first(const Job& job, int region, int level_number, int cell, int first, int n)
{
    using Element = typename Storage::Element;
    const Level& level = job.levels[level_number];
    const Window window = window_at(job, level, region, cell / job.side, cell % job.side);
    const int plane = level.height * level.width;
    const int output_plane = job.side * job.side;
    const long long output_channel =
        (static_cast<long long>(region) * job.n_levels + level_number) * job.channels + first;
    const Element* features = static_cast<const Element*>(level.features) + static_cast<long long>(first) * plane;
    Element* output = static_cast<Element*>(job.output) + output_channel * output_plane + cell;
    const int count = job.channels - first < n ? job.channels - first : n;
    for (int channel = 0; channel < count; ++channel)
    {
        float sum = 0.0f;
        GPT4ROI_UNROLLED
        for (int i = 0; i < 4; ++i)
        {
            GPT4ROI_UNROLLED
            for (int j = 0; j < 4; ++j)
            {
                if (i < window.down.count && j < window.across.count)
                {
                    const float weight = times(window.down.weight[i], window.across.weight[j]);
                    const int place = window.down.cell[i] * level.width + window.across.cell[j];
                    sum = times_plus(weight, Storage::widened(features[place]), sum);
                }
            }
        }
        *output = Storage::rounded(sum);
        features += plane;
        output += output_plane;
    }
}

} // namespace gpt4roi

#endif
