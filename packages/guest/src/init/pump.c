/* One direction of bytes through a bounded buffer; both ends are non-blocking. An end that is gone is -1. */
#define _GNU_SOURCE
#include "helmr-guest.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

void pump_init(struct pump *pump, int from, int to) {
  *pump = (struct pump){.from = from, .to = to};
  if (from >= 0) fcntl(from, F_SETFL, fcntl(from, F_GETFL) | O_NONBLOCK);
  if (to >= 0) fcntl(to, F_SETFL, fcntl(to, F_GETFL) | O_NONBLOCK);
}

bool pump_wants_input(const struct pump *pump) {
  return pump->from >= 0 && pump->to >= 0 && pump->length == 0;
}

bool pump_wants_output(const struct pump *pump) {
  return pump->to >= 0 && pump->length > 0;
}

/* Who owns the descriptors closes them: an end of input is seen in `from`, a reader that is gone in `to`. */
void pump_read(struct pump *pump) {
  ssize_t count = read(pump->from, pump->data, sizeof pump->data);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
  pump->start = 0;
  if (count > 0) pump->length = (size_t)count;
  /* A terminal whose last process is gone reads EIO. */
  else pump->from = -1;
}

void pump_write(struct pump *pump) {
  while (pump->length > 0) {
    ssize_t count = write(pump->to, pump->data + pump->start, pump->length);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) return;
    if (count < 0) {
      pump->to = -1;
      pump->length = 0;
      return;
    }
    pump->start += (size_t)count;
    pump->length -= (size_t)count;
  }
}
