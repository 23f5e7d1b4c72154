/* Messages, files and numbers that every subcommand needs. */
#define _GNU_SOURCE
#include "helmr-guest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

const char *subcommand = "";

static void print_message(const char *format, va_list arguments, const char *reason) {
  char line[1024];
  int length = snprintf(line, sizeof line, "helmr-guest %s: ", subcommand);
  length += vsnprintf(line + length, sizeof line - (size_t)length, format, arguments);
  if (length > (int)sizeof line - 128) length = (int)sizeof line - 128;
  length += snprintf(line + length, sizeof line - (size_t)length, "%s%s\n", reason ? ": " : "", reason ? reason : "");
  ssize_t ignored = write(STDERR_FILENO, line, (size_t)length);
  (void)ignored;
}

void die(const char *format, ...) {
  const char *reason = strerror(errno);
  va_list arguments;
  va_start(arguments, format);
  print_message(format, arguments, reason);
  va_end(arguments);
  _exit(1);
}

void refuse(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  print_message(format, arguments, NULL);
  va_end(arguments);
  _exit(2);
}

void warn(const char *format, ...) {
  const char *reason = strerror(errno);
  va_list arguments;
  va_start(arguments, format);
  print_message(format, arguments, reason);
  va_end(arguments);
}

int write_text(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (fd < 0) return -1;
  size_t length = strlen(text);
  ssize_t written = write(fd, text, length);
  int reason = errno;
  close(fd);
  if (written == (ssize_t)length) return 0;
  errno = written < 0 ? reason : EIO;
  return -1;
}

/* At most size - 1 bytes, always terminated. */
ssize_t read_text(const char *path, char *buffer, size_t size) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  size_t length = 0;
  while (length < size - 1) {
    ssize_t count = read(fd, buffer + length, size - 1 - length);
    if (count <= 0) break;
    length += (size_t)count;
  }
  close(fd);
  buffer[length] = '\0';
  return (ssize_t)length;
}

int make_directories(const char *path, mode_t mode) {
  char part[4096];
  size_t length = strlen(path);
  if (length >= sizeof part) {
    errno = ENAMETOOLONG;
    return -1;
  }
  memcpy(part, path, length + 1);
  for (size_t index = 1; index <= length; index += 1) {
    if (part[index] != '/' && part[index] != '\0') continue;
    char separator = part[index];
    part[index] = '\0';
    if (mkdir(part, mode) < 0 && errno != EEXIST) return -1;
    part[index] = separator;
  }
  return 0;
}

int64_t monotonic_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t parse_number(const char *option, const char *text, int64_t max) {
  char *end;
  errno = 0;
  long long value = strtoll(text, &end, 10);
  if (errno != 0 || end == text || *end != '\0' || value < 0 || value > max) {
    refuse("%s must be a number from 0 to %lld, not \"%s\"", option, (long long)max, text);
  }
  return value;
}

void join_cgroup(const char *directory) {
  char path[4096];
  snprintf(path, sizeof path, "%s/cgroup.procs", directory);
  if (write_text(path, "0") < 0) die("join the cgroup %s", directory);
}

void set_oom_score(int score) {
  char text[16];
  snprintf(text, sizeof text, "%d", score);
  if (write_text("/proc/self/oom_score_adj", text) < 0) warn("set the out-of-memory score");
}
