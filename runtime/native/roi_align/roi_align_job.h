/* What a launch is asked for and how it is cut into blocks; knows no arithmetic of RoIAlign and nothing of CUDA.
 *
 * The grid is the same for every caller, the plugin, a driver that loads a cubin and the loops on the CPU.
 */
#ifndef GPT4ROI_ROI_ALIGN_JOB_H
#define GPT4ROI_ROI_ALIGN_JOB_H

#include "roi_align_core.h"

namespace gpt4roi
{

enum Storage
{
    kFloat32 = 0,
    kFloat16 = 1,
    kBFloat16 = 2,
};

enum Layout
{
    kChannelsLast = 0,
    kChannelsFirst = 1,
};

constexpr int kThreads = 128;        /* of a block, at most */
constexpr int kChannelsOfAThread = 8; /* with channels first */

/* Blocks along x, y and z, and threads in each. */
struct Grid
{
    unsigned int x;
    unsigned int y;
    unsigned int z;
    unsigned int threads;
};

GPT4ROI_EVERYWHERE int vector_lanes(Storage storage)
{
    return storage == kFloat32 ? Float32::kLanes : Float16::kLanes;
}

/* Channels last: a block is one output cell of one level of one region, its threads share the channels. Channels first:
 * the threads of a block are neighbouring output cells, and a block has a few channels of each. */
GPT4ROI_EVERYWHERE Grid grid_of(const Job& job, Storage storage, Layout layout)
{
    const int cells = job.side * job.side;
    Grid grid;
    grid.y = static_cast<unsigned int>(job.n_levels);
    grid.z = static_cast<unsigned int>(job.n_regions);
    if (layout == kChannelsLast)
    {
        const int vectors = job.channels / vector_lanes(storage);
        grid.x = static_cast<unsigned int>(cells);
        grid.threads = static_cast<unsigned int>(vectors < kThreads ? (vectors + 31) / 32 * 32 : kThreads);
    }
    else
    {
        const int blocks_of_cells = (cells + kThreads - 1) / kThreads;
        const int blocks_of_channels = (job.channels + kChannelsOfAThread - 1) / kChannelsOfAThread;
        grid.x = static_cast<unsigned int>(blocks_of_cells * blocks_of_channels);
        grid.threads = kThreads;
    }
    return grid;
}

GPT4ROI_EVERYWHERE bool is_aligned(const void* place)
{
    return reinterpret_cast<unsigned long long>(place) % sizeof(Words) == 0;
}

/* Why a job cannot be run, or null. The messages are for a person, and last as long as the library. */
GPT4ROI_EVERYWHERE const char* refusal(const Job& job, int storage, int layout)
{
    if (storage != kFloat32 && storage != kFloat16 && storage != kBFloat16)
    {
        return "the storage type is none of float32 (0), float16 (1) and bfloat16 (2)";
    }
    if (layout != kChannelsLast && layout != kChannelsFirst)
    {
        return "the layout is neither channels last (0) nor channels first (1)";
    }
    if (job.n_levels < 1 || job.n_levels > kMaxLevels)
    {
        return "a pyramid has 1 to 4 levels";
    }
    if (job.side < 1 || job.side > kMaxSide)
    {
        return "the output has 1 to 64 cells a side";
    }
    if (job.n_regions < 0 || job.n_regions > kMaxRegions)
    {
        return "a launch takes 0 to 65535 regions";
    }
    if (job.channels < 1 || job.channels > kMaxChannels)
    {
        return "a level has 1 to 65536 channels";
    }
    if (layout == kChannelsLast && job.channels % vector_lanes(static_cast<Storage>(storage)) != 0)
    {
        return "with channels last, a cell's channels fill whole units of 16 bytes: 4 of float32, 8 of 16 bits";
    }
    for (int level = 0; level < job.n_levels; ++level)
    {
        const Level& map = job.levels[level];
        if (map.height < 1 || map.height > kMaxCells || map.width < 1 || map.width > kMaxCells)
        {
            return "a level has 1 to 16777216 cells a side";
        }
        if (static_cast<long long>(map.height) * map.width > kMaxElements / job.channels)
        {
            return "a level has at most 2147483647 elements";
        }
        if (!(map.scale > 0.0f && map.scale < kMaxScale))
        {
            return "the scale of a level is a positive number";
        }
        if (layout == kChannelsLast && !is_aligned(map.features))
        {
            return "with channels last, a level begins at a multiple of 16 bytes";
        }
    }
    if (layout == kChannelsLast && !is_aligned(job.output))
    {
        return "with channels last, the output begins at a multiple of 16 bytes";
    }
    return nullptr;
}

} // namespace gpt4roi

#endif
