// CRC-32C (Castagnoli, reflected polynomial 0x82F63B78): by the CPU's own instruction where there is one, else by tables.
//
// The instruction takes three cycles but can be started every cycle, so a long buffer is read as three stretches side by
// side, whose sums are then combined: the sum of a stretch that is followed by n bytes is that sum moved on over n zero
// bytes, which is a multiplication by a constant matrix, kept as four tables.
#define _GNU_SOURCE
#include "CLinux.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#if defined(__aarch64__)
#include <sys/auxv.h>
#endif

enum { POLYNOMIAL_REFLECTED = 0x82F63B78u, STRETCH = 256 };

static uint32_t by_byte[8][256];
static uint32_t over_stretch[4][256];
static pthread_once_t tables_made = PTHREAD_ONCE_INIT;

static uint32_t over_zeros(uint32_t crc, size_t count) {
    while (count--) crc = (crc >> 8) ^ by_byte[0][crc & 0xFF];
    return crc;
}

static void make_tables(void) {
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ ((crc & 1) ? POLYNOMIAL_REFLECTED : 0);
        by_byte[0][byte] = crc;
    }
    for (uint32_t byte = 0; byte < 256; byte++) {
        for (int row = 1; row < 8; row++) by_byte[row][byte] = over_zeros(by_byte[row - 1][byte], 1);
        for (int row = 0; row < 4; row++) over_stretch[row][byte] = over_zeros(byte << (8 * row), STRETCH);
    }
}

static uint64_t load(const uint8_t *bytes) {
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
    return word;
}

// Eight bytes at a time; little-endian, as every machine that Swift runs on.
static uint32_t crc_tables(uint32_t crc, const uint8_t *bytes, size_t count) {
    crc = ~crc;
    for (; count >= 8; count -= 8, bytes += 8) {
        const uint64_t word = load(bytes) ^ crc;
        crc = 0;
        for (int row = 0; row < 8; row++) crc ^= by_byte[7 - row][(word >> (8 * row)) & 0xFF];
    }
    while (count--) crc = (crc >> 8) ^ by_byte[0][(crc ^ *bytes++) & 0xFF];
    return ~crc;
}

#if defined(__x86_64__)
#define HARDWARE __attribute__((target("sse4.2")))
#define STEP8(crc, word) ((uint32_t)__builtin_ia32_crc32di((crc), (word)))
#define STEP1(crc, byte) __builtin_ia32_crc32qi((crc), (byte))
static int has_hardware(void) { return __builtin_cpu_supports("sse4.2"); }
#elif defined(__aarch64__)
#define HARDWARE __attribute__((target("crc")))
#define STEP8(crc, word) __builtin_arm_crc32cd((crc), (word))
#define STEP1(crc, byte) __builtin_arm_crc32cb((crc), (byte))
static int has_hardware(void) { return (getauxval(AT_HWCAP) & (1u << 7)) != 0; /* HWCAP_CRC32 */ }
#endif

#ifdef HARDWARE
static uint32_t past_stretch(uint32_t crc) {
    return over_stretch[0][crc & 0xFF] ^ over_stretch[1][(crc >> 8) & 0xFF] ^ over_stretch[2][(crc >> 16) & 0xFF]
        ^ over_stretch[3][crc >> 24];
}

HARDWARE static uint32_t crc_hardware(uint32_t crc, const uint8_t *bytes, size_t count) {
    crc = ~crc;
    while (count >= 3 * STRETCH) {
        uint32_t second = 0, third = 0;
        for (size_t at = 0; at < STRETCH; at += 8) {
            crc = STEP8(crc, load(bytes + at));
            second = STEP8(second, load(bytes + STRETCH + at));
            third = STEP8(third, load(bytes + 2 * STRETCH + at));
        }
        crc = past_stretch(crc) ^ second;
        crc = past_stretch(crc) ^ third;
        bytes += 3 * STRETCH;
        count -= 3 * STRETCH;
    }
    for (; count >= 8; count -= 8, bytes += 8) crc = STEP8(crc, load(bytes));
    while (count--) crc = STEP1(crc, *bytes++);
    return ~crc;
}
#endif

typedef uint32_t (*crc_function)(uint32_t, const uint8_t *, size_t);
static uint32_t crc_first(uint32_t crc, const uint8_t *bytes, size_t count);
static _Atomic(crc_function) chosen = crc_first;

// Makes the tables on the first call, so that a broker without streams does not have them in memory.
static uint32_t crc_first(uint32_t crc, const uint8_t *bytes, size_t count) {
    pthread_once(&tables_made, make_tables);
    crc_function best = crc_tables;
#ifdef HARDWARE
    if (has_hardware()) best = crc_hardware;
#endif
    atomic_store_explicit(&chosen, best, memory_order_release);
    return best(crc, bytes, count);
}

uint32_t clinux_crc32c(uint32_t crc, const void *bytes, size_t count) {
    return atomic_load_explicit(&chosen, memory_order_acquire)(crc, bytes, count);
}

uint32_t clinux_crc32c_tables(uint32_t crc, const void *bytes, size_t count) {
    pthread_once(&tables_made, make_tables);
    return crc_tables(crc, bytes, count);
}
