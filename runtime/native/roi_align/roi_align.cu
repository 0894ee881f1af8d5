/* The kernels, and for nvcc their launch; the arithmetic is in roi_align_core.h.
 *
 * NVRTC compiles this file too, without the launch: the names and parameters of the kernels, with grid_of of
 * roi_align_job.h, are all that a driver has to know. No thread waits for another or writes where another does, so that
 * the result depends on no order.
 */
#include "roi_align_job.h"

/* Eight blocks of 128 threads leave 64 registers to a thread. */
#define GPT4ROI_KERNEL(name) \
    extern "C" __global__ void __launch_bounds__(gpt4roi::kThreads, 8) name(const __grid_constant__ gpt4roi::Job job)

namespace
{

template <typename Type>
__device__ __forceinline__ void channels_last(const gpt4roi::Job& job)
{
    gpt4roi::align_channels_last<Type>(job, static_cast<int>(blockIdx.z), static_cast<int>(blockIdx.y),
        static_cast<int>(blockIdx.x), static_cast<int>(threadIdx.x), static_cast<int>(blockDim.x));
}

template <typename Type>
__device__ __forceinline__ void channels_first(const gpt4roi::Job& job)
{
    const int cells = job.side * job.side;
    const int blocks_of_cells = (cells + gpt4roi::kThreads - 1) / gpt4roi::kThreads;
    const int block = static_cast<int>(blockIdx.x);
    const int cell = block % blocks_of_cells * gpt4roi::kThreads + static_cast<int>(threadIdx.x);
    const int first = block / blocks_of_cells * gpt4roi::kChannelsOfAThread;
    if (cell < cells)
    {
        gpt4roi::align_channels_first<Type>(job, static_cast<int>(blockIdx.z), static_cast<int>(blockIdx.y), cell,
            first, gpt4roi::kChannelsOfAThread);
    }
}

} // namespace

GPT4ROI_KERNEL(roi_align_channels_last_float32) { channels_last<gpt4roi::Float32>(job); }
GPT4ROI_KERNEL(roi_align_channels_last_float16) { channels_last<gpt4roi::Float16>(job); }
GPT4ROI_KERNEL(roi_align_channels_last_bfloat16) { channels_last<gpt4roi::BFloat16>(job); }
GPT4ROI_KERNEL(roi_align_channels_first_float32) { channels_first<gpt4roi::Float32>(job); }
GPT4ROI_KERNEL(roi_align_channels_first_float16) { channels_first<gpt4roi::Float16>(job); }
GPT4ROI_KERNEL(roi_align_channels_first_bfloat16) { channels_first<gpt4roi::BFloat16>(job); }

#if !defined(__CUDACC_RTC__)

#include "roi_align_launch.h"

namespace gpt4roi
{

const char* launch(const Job& job, int storage, int layout, cudaStream_t stream)
{
    if (const char* reason = refusal(job, storage, layout))
    {
        return reason;
    }
    if (job.n_regions == 0)
    {
        return nullptr; /* CUDA takes no empty grid */
    }
    using Kernel = void (*)(Job);
    static const Kernel kernels[2][3] = {
        {roi_align_channels_last_float32, roi_align_channels_last_float16, roi_align_channels_last_bfloat16},
        {roi_align_channels_first_float32, roi_align_channels_first_float16, roi_align_channels_first_bfloat16},
    };
    const Grid grid = grid_of(job, static_cast<Storage>(storage), static_cast<Layout>(layout));
    kernels[layout][storage]<<<dim3(grid.x, grid.y, grid.z), grid.threads, 0, stream>>>(job);
    const cudaError_t error = cudaGetLastError();
    return error == cudaSuccess ? nullptr : cudaGetErrorString(error);
}

} // namespace gpt4roi

/* For callers that are not C++: the same, with the stream as a plain pointer. */
extern "C" __attribute__((visibility("default"))) const char* gpt4roi_roi_align_launch(
    const gpt4roi::Job* job, int storage, int layout, void* stream)
{
    return gpt4roi::launch(*job, storage, layout, static_cast<cudaStream_t>(stream));
}

#endif
