// CRC32C (Castagnoli), the checksum of what Retort stores: instructions of the CPU where it has them, a table elsewhere.
#ifndef RETORT_CHECKSUM_H
#define RETORT_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

// The CRC32C of bytes [N] that follow those of which `crc` is the checksum; 0 is the checksum of nothing.
uint32_t rtk_crc32c(uint32_t crc, const void *bytes, size_t N);
// The same by the table alone: what the instructions are tested against.
uint32_t rtk_crc32c_table(uint32_t crc, const void *bytes, size_t N);

#endif
