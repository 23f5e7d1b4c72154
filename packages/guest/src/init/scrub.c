/*
 * The kernel hands out pages filled with zeros, but leaves what was in them when they come back. Taking nearly all free memory once and
 * giving it back leaves zeros, which a snapshot does not store (measured for a template of 512 MiB: see docs/specification).
 */
#define _GNU_SOURCE
#include "helmr-guest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Left alone, so that nobody else runs out of memory meanwhile. */
enum { reserve_kib = 24576 };

static size_t free_kib(void) {
  char text[4096];
  if (read_text("/proc/meminfo", text, sizeof text) < 0) return 0;
  const char *line = strstr(text, "MemFree:");
  return line ? strtoul(line + strlen("MemFree:"), NULL, 10) : 0;
}

void scrub_free_memory(void) {
  size_t available = free_kib();
  if (available <= reserve_kib) return;
  size_t length = (available - reserve_kib) * 1024;
  void *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return;
  if (madvise(memory, length, MADV_POPULATE_WRITE) < 0) warn("fill free memory");
  munmap(memory, length);
}

int command_scrub(int argc, char **argv) {
  (void)argv;
  if (argc != 1) refuse("scrub takes no arguments");
  scrub_free_memory();
  return 0;
}
