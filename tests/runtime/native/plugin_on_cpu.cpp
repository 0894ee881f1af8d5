/* Stands where the kernels' launch would: the plugin's enqueue runs the same job on the CPU, at once. */
#include "roi_align_launch.h"

extern "C" const char* gpt4roi_roi_align_host(const gpt4roi::Job* job, int storage, int layout);

const char* gpt4roi::launch(const Job& job, int storage, int layout, cudaStream_t)
{
    return gpt4roi_roi_align_host(&job, storage, layout);
}
