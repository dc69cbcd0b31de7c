/* Loaded by LD_PRELOAD into PostgreSQL and svc-ledger, so that the product knows nothing of it: a disk that is slow to
 * flush, and a clock that has jumped. What is wanted stands in the file that CHAOS_SHIM names, two integers of 64 bits in
 * the machine's order: nanoseconds that CLOCK_REALTIME is off, microseconds that a flush takes longer. The file is
 * mapped, so that whoever writes it is heard at once. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

struct wanted {
  volatile int64_t clock_ns;
  volatile int64_t flush_us;
};

static const struct wanted none = {0, 0};
static const struct wanted *wanted = &none;

static int (*real_clock_gettime)(clockid_t, struct timespec *);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);

__attribute__((constructor)) static void start(void) {
  real_clock_gettime = dlsym(RTLD_NEXT, "clock_gettime");
  real_fsync = dlsym(RTLD_NEXT, "fsync");
  real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
  const char *file = getenv("CHAOS_SHIM");
  int fd = file == NULL ? -1 : open(file, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  void *mapped = mmap(NULL, sizeof(struct wanted), PROT_READ, MAP_SHARED, fd, 0);
  close(fd);
  if (mapped != MAP_FAILED) wanted = mapped;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  int result = real_clock_gettime(clock, now);
  int64_t off = clock == CLOCK_REALTIME ? wanted->clock_ns : 0;
  if (result == 0 && off != 0) {
    int64_t ns = (int64_t)now->tv_sec * 1000000000 + now->tv_nsec + off;
    now->tv_sec = ns / 1000000000;
    now->tv_nsec = ns % 1000000000;
  }
  return result;
}

static void delay(void) {
  int64_t us = wanted->flush_us;
  if (us > 0) usleep((useconds_t)us);
}

int fsync(int fd) {
  delay();
  return real_fsync(fd);
}

int fdatasync(int fd) {
  delay();
  return real_fdatasync(fd);
}
