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
#include <sys/wait.h>
#include <unistd.h>

/*
 * Left alone, so that nobody else runs out of memory meanwhile: at least this much, and a share of the whole, because what the kernel keeps back
 * (watermarks, lower zones, page tables) grows with the machine. Found with 1 and 2 GiB: 24 MiB alone end in the killing of init.
 */
enum { reserve_kib = 24576, reserve_share = 20 };

static size_t memory_kib(const char *name) {
  char text[4096];
  if (read_text("/proc/meminfo", text, sizeof text) < 0) return 0;
  const char *line = strstr(text, name);
  return line ? strtoul(line + strlen(name), NULL, 10) : 0;
}

static void fill_free_memory(void) {
  size_t available = memory_kib("MemFree:");
  size_t share = memory_kib("MemTotal:") / reserve_share;
  size_t reserve = share > reserve_kib ? share : reserve_kib;
  if (available <= reserve) return;
  size_t length = (available - reserve) * 1024;
  void *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return;
  if (madvise(memory, length, MADV_POPULATE_WRITE) < 0) warn("fill free memory");
  munmap(memory, length);
}

/* In a process of its own that the kernel kills first, should the reserve not be enough after all. */
void scrub_free_memory(void) {
  pid_t child = fork();
  if (child < 0) return;
  if (child == 0) {
    set_oom_score(1000);
    fill_free_memory();
    _exit(0);
  }
  waitpid(child, NULL, 0);
}

int command_scrub(int argc, char **argv) {
  (void)argv;
  if (argc != 1) refuse("scrub takes no arguments");
  scrub_free_memory();
  return 0;
}
