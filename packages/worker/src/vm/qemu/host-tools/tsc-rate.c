/*
 * Prints the rate of the time stamp counter in kHz. A guest under emulation counts the host's TSC and must be told its rate; /proc/cpuinfo
 * shows the current clock of a core instead, which is the same only on some machines.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <x86intrin.h>

enum { rounds = 5, round_ms = 40 };

struct reading {
  uint64_t ticks;
  int64_t ns;
};

static int64_t raw_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC_RAW, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* The reading that was interrupted least of a few. */
static struct reading read_both(void) {
  struct reading best = {0};
  uint64_t shortest = UINT64_MAX;
  for (int attempt = 0; attempt < 16; attempt += 1) {
    uint64_t before = __rdtsc();
    int64_t ns = raw_ns();
    uint64_t after = __rdtsc();
    if (after - before >= shortest) continue;
    shortest = after - before;
    best = (struct reading){.ticks = before + (after - before) / 2, .ns = ns};
  }
  return best;
}

int main(void) {
  struct reading first = read_both();
  const struct timespec pause = {.tv_nsec = round_ms * 1000000};
  for (int round = 0; round < rounds; round += 1) nanosleep(&pause, NULL);
  struct reading last = read_both();
  printf("%.0f\n", (double)(last.ticks - first.ticks) * 1e6 / (double)(last.ns - first.ns));
  return 0;
}
