// CRC32C (Castagnoli), the checksum of Retort's files, with the instructions of the CPU or, without them, with a table.
#ifndef RETORT_CHECKSUM_H
#define RETORT_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

// Extends the checksum `crc` of the preceding bytes by bytes [N]; the checksum of no bytes is 0.
uint32_t rtk_crc32c(uint32_t crc, const void *bytes, size_t N);
// The same with the table; the test of the instructions compares both.
uint32_t rtk_crc32c_table(uint32_t crc, const void *bytes, size_t N);

#endif
