/* Put in front of every C file of llama.cpp when it is compiled for Linux.
 *
 * Weights that are read into memory (not mapped from the file) lie in pages of 4 KiB, unless the program asks for larger
 * ones: most distributions set transparent huge pages to "madvise". Decoding reads every weight once a token, and then
 * waits for the translation of addresses: asking makes it 1.3 times faster. Small blocks are left as they are.
 */
#if defined(__linux__)
#include <stdlib.h>
#include <sys/mman.h>
#if defined(MADV_HUGEPAGE)
static inline int gpt4roi_posix_memalign(void **block, size_t alignment, size_t size) {
    const size_t huge_page = (size_t)2 << 20;
    if (size < 4 * huge_page) {
        return posix_memalign(block, alignment, size);
    }
    const int failed = posix_memalign(block, huge_page, size);
    if (!failed) {
        (void)madvise(*block, size - size % huge_page, MADV_HUGEPAGE); /* a wish: without it, all is as before */
    }
    return failed;
}
#define posix_memalign gpt4roi_posix_memalign
#endif
#endif
