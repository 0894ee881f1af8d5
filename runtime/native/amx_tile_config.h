/* Put in front of every C++ file of llama.cpp when GCC compiles it for x86-64.
 *
 * GCC older than 12.4 and 13.3 declares the operand of _tile_loadconfig as 8 bytes long. The instruction reads 64, so
 * the optimizer, told a smaller number, drops the stores to the other 56, and the processor answers the half-written
 * tile configuration with a general protection fault at the first batch. Here the operand has its true size.
 */
#if defined(__x86_64__)
#include <immintrin.h>
#define _tile_loadconfig(config) __asm__ volatile("ldtilecfg %0" : : "m"(*(const char(*)[64])(config)))
#endif
