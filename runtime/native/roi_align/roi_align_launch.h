/* Starts the kernels on a stream; knows no kernel. */
#ifndef GPT4ROI_ROI_ALIGN_LAUNCH_H
#define GPT4ROI_ROI_ALIGN_LAUNCH_H

#include <cuda_runtime_api.h>

#include "roi_align_job.h"

namespace gpt4roi
{

/* One launch for all levels and regions; returns at once. `job` holds addresses on the GPU; it is copied.
 *
 * Returns null, or why it was refused; the text lasts as long as the library. */
const char* launch(const Job& job, int storage, int layout, cudaStream_t stream);

} // namespace gpt4roi

#endif
