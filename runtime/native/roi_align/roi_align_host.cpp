/* The kernels' arithmetic as a library for the CPU: loops over the grid in the place of a GPU.
 *
 *     g++ -std=c++14 -O2 -ffp-contract=off -shared -fPIC -o libroi_align_host.so roi_align_host.cpp
 *
 * For tests on a machine without a GPU. Knows nothing of speed.
 */
#include "roi_align_job.h"

namespace
{

using gpt4roi::Grid;
using gpt4roi::Job;

template <typename Type>
void channels_last(const Job& job, const Grid& grid, int region, int level)
{
    for (unsigned int cell = 0; cell < grid.x; ++cell)
    {
        for (unsigned int thread = 0; thread < grid.threads; ++thread)
        {
            gpt4roi::align_channels_last<Type>(job, region, level, static_cast<int>(cell), static_cast<int>(thread),
                static_cast<int>(grid.threads));
        }
    }
}

template <typename Type>
void channels_first(const Job& job, int region, int level)
{
    for (int first = 0; first < job.channels; first += gpt4roi::kChannelsOfAThread)
    {
        for (int cell = 0; cell < job.side * job.side; ++cell)
        {
            gpt4roi::align_channels_first<Type>(job, region, level, cell, first, gpt4roi::kChannelsOfAThread);
        }
    }
}

template <typename Type>
void run(const Job& job, const Grid& grid, int layout)
{
    for (int region = 0; region < job.n_regions; ++region)
    {
        for (int level = 0; level < job.n_levels; ++level)
        {
            if (layout == gpt4roi::kChannelsLast)
            {
                channels_last<Type>(job, grid, region, level);
            }
            else
            {
                channels_first<Type>(job, region, level);
            }
        }
    }
}

} // namespace

/* As gpt4roi_roi_align_launch, with addresses on the CPU and no stream; finished when it returns. */
extern "C" const char* gpt4roi_roi_align_host(const Job* job, int storage, int layout)
{
    if (const char* reason = gpt4roi::refusal(*job, storage, layout))
    {
        return reason;
    }
    const Grid grid =
        gpt4roi::grid_of(*job, static_cast<gpt4roi::Storage>(storage), static_cast<gpt4roi::Layout>(layout));
    switch (storage)
    {
    case gpt4roi::kFloat32: run<gpt4roi::Float32>(*job, grid, layout); break;
    case gpt4roi::kFloat16: run<gpt4roi::Float16>(*job, grid, layout); break;
    default: run<gpt4roi::BFloat16>(*job, grid, layout); break;
    }
    return nullptr;
}
