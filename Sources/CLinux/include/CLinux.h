// What Swift's Glibc overlay does not export. _GNU_SOURCE stays out of this header on
// purpose: it makes fd_set clash with Glibc's in debug builds, so what needs it is in clinux.c.
#ifndef CLINUX_H
#define CLINUX_H

#include <malloc.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/types.h>

/// accept4(2) without the peer's address; close-on-exec and nonblocking. -1 and errno on failure.
int clinux_accept(int listener);

/// Names a thread for ps and debuggers; the name is cut to what the system takes.
void clinux_name_thread(pthread_t thread, const char *name);

/// Lets the calling thread's sleeps end within a microsecond or so instead of 50.
void clinux_precise_timers(void);

/// Gives back the pages of code and constants that only the start needed: they are clean, and come back from the page
/// cache when they are used again.
void clinux_release_startup_pages(void);

/// CRC-32C of `count` bytes, going on from `crc`, the sum of what came before (0 at the start).
uint32_t clinux_crc32c(uint32_t crc, const void *bytes, size_t count);

/// The same without the CPU's own instruction.
uint32_t clinux_crc32c_tables(uint32_t crc, const void *bytes, size_t count);

/// preadv2(2) of one stretch with RWF_NOWAIT: -1 and EAGAIN where it would wait for the device, EOPNOTSUPP where the file
/// system cannot tell.
ssize_t clinux_read_cached(int file, void *target, size_t count, int64_t offset);

/// fallocate(2) that makes the file grow. -1 and errno on failure.
int clinux_allocate(int file, int64_t bytes);

/// Tells the CPU that this is a spin-wait.
static inline void clinux_pause(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

#endif
