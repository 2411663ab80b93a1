#include <retort_checksum.h>

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#if defined(__aarch64__)
#include <arm_acle.h>
#endif

// The reflected polynomial of Castagnoli.
static const uint32_t polynomial = 0x82f63b78u;

// slices[k][b]: the register after byte b and k zero bytes (Kounavis and Berry, 2005, "slicing by 8").
static uint32_t slices[8][256];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void fill(void) {
  for (uint32_t b = 0; b < 256; b++) {
    uint32_t crc = b;
    for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (crc & 1 ? polynomial : 0);
    slices[0][b] = crc;
  }
  for (uint32_t b = 0; b < 256; b++) {
    for (int k = 1; k < 8; k++) slices[k][b] = (slices[k - 1][b] >> 8) ^ slices[0][slices[k - 1][b] & 255];
  }
}

uint32_t rtk_crc32c_table(uint32_t crc, const void *bytes, size_t N) {
  pthread_once(&once, fill);
  const uint8_t *p = bytes;
  crc = ~crc;
  for (; N >= 8; N -= 8, p += 8) {
    const uint32_t low = crc ^ ((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24);
    crc = slices[7][low & 255] ^ slices[6][low >> 8 & 255] ^ slices[5][low >> 16 & 255] ^ slices[4][low >> 24] ^
          slices[3][p[4]] ^ slices[2][p[5]] ^ slices[1][p[6]] ^ slices[0][p[7]];
  }
  for (; N > 0; N--, p++) crc = (crc >> 8) ^ slices[0][(crc ^ *p) & 255];
  return ~crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t with_instructions(uint32_t crc, const uint8_t *p, size_t N) {
  uint64_t state = (uint32_t)~crc;
  for (; N >= 8; N -= 8, p += 8) {
    uint64_t word;
    memcpy(&word, p, 8);
    state = __builtin_ia32_crc32di(state, word);
  }
  for (; N > 0; N--, p++) state = __builtin_ia32_crc32qi((uint32_t)state, *p);
  return ~(uint32_t)state;
}
static bool cpu_has_crc(void) {
  __builtin_cpu_init();
  return __builtin_cpu_supports("sse4.2");
}
#elif defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)
static uint32_t with_instructions(uint32_t crc, const uint8_t *p, size_t N) {
  crc = ~crc;
  for (; N >= 8; N -= 8, p += 8) {
    uint64_t word;
    memcpy(&word, p, 8);
    crc = __crc32cd(crc, word);
  }
  for (; N > 0; N--, p++) crc = __crc32cb(crc, *p);
  return ~crc;
}
static bool cpu_has_crc(void) { return true; }
#else
static uint32_t with_instructions(uint32_t crc, const uint8_t *p, size_t N) { return rtk_crc32c_table(crc, p, N); }
static bool cpu_has_crc(void) { return false; }
#endif

uint32_t rtk_crc32c(uint32_t crc, const void *bytes, size_t N) {
  return cpu_has_crc() ? with_instructions(crc, bytes, N) : rtk_crc32c_table(crc, bytes, N);
}
