/* The port: frames in, frames out, and what happens when the host comes and goes. */
#define _GNU_SOURCE
#include "helmr-guest.h"
#include "relay.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { output_bytes_max = 524288, output_reserve_bytes = 131072, write_bytes_max = 32768 };

/* The host discards everything before these bytes (as a whole frame), so that it never takes the tail of an old frame for a new one. */
static const uint8_t sync_body[16] = {0x48, 0x45, 0x4c, 0x4d, 0x52, 0x2d, 0x4e, 0x45, 0x54, 0xf1, 0x0d, 0x8a, 0x5c, 0x93, 0xe7, 0x26};

static struct {
  int fd;
  bool open;
  uint8_t input[frame_bytes_max + 4];
  size_t input_length;
  uint8_t output[output_bytes_max];
  size_t output_start;
  size_t output_length;
  bool wants_output;
} channel;

static void put_u32(uint8_t *to, uint32_t value) {
  to[0] = (uint8_t)(value >> 24);
  to[1] = (uint8_t)(value >> 16);
  to[2] = (uint8_t)(value >> 8);
  to[3] = (uint8_t)value;
}

static uint32_t get_u32(const uint8_t *from) {
  return (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 | (uint32_t)from[2] << 8 | from[3];
}

static void update_watch(void) {
  bool wants_output = channel.output_length > 0;
  if (channel.wants_output == wants_output) return;
  channel.wants_output = wants_output;
  rewatch(channel.fd, EPOLLIN | (wants_output ? EPOLLOUT : 0), source_channel, 0);
}

static void flush_output(void) {
  bool was_full = !channel_has_room();
  while (channel.output_length > 0) {
    size_t length = channel.output_length < write_bytes_max ? channel.output_length : write_bytes_max;
    ssize_t count = write(channel.fd, channel.output + channel.output_start, length);
    if (count <= 0) break;
    channel.output_start += (size_t)count;
    channel.output_length -= (size_t)count;
  }
  if (channel.output_length == 0) channel.output_start = 0;
  update_watch();
  if (was_full && channel_has_room()) connections_continue();
}

bool channel_is_open(void) {
  return channel.open;
}

bool channel_has_room(void) {
  return channel.open && channel.output_length + frame_bytes_max <= output_bytes_max - output_reserve_bytes;
}

void channel_send(enum frame_kind kind, uint32_t connection, const void *body, size_t length) {
  if (!channel.open) return;
  size_t size = frame_header_bytes + length;
  if (channel.output_start + channel.output_length + size > output_bytes_max) {
    memmove(channel.output, channel.output + channel.output_start, channel.output_length);
    channel.output_start = 0;
  }
  if (channel.output_length + size > output_bytes_max) {
    /* Only control frames come here; a host that takes none of so many is gone. */
    channel_reset();
    return;
  }
  uint8_t *frame = channel.output + channel.output_start + channel.output_length;
  put_u32(frame, (uint32_t)(5 + length));
  frame[4] = (uint8_t)kind;
  put_u32(frame + 5, connection);
  if (length > 0) memcpy(frame + frame_header_bytes, body, length);
  bool was_idle = channel.output_length == 0;
  channel.output_length += size;
  if (was_idle) flush_output();
}

static void open_port(void) {
  channel.fd = open(NETWORK_DEVICE, O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (channel.fd < 0) die("open " NETWORK_DEVICE);
}

static bool host_is_connected(void) {
  struct pollfd port = {.fd = channel.fd, .events = POLLOUT};
  return poll(&port, 1, 0) > 0 && (port.revents & POLLHUP) == 0;
}

static void start_channel(void) {
  channel.open = true;
  channel.wants_output = false;
  watch(channel.fd, EPOLLIN, source_channel, 0);
  channel_send(kind_sync, 0, sync_body, sizeof sync_body);
  accept_more(true);
}

void channel_reset(void) {
  if (channel.open) unwatch(channel.fd);
  channel.open = false;
  channel.input_length = 0;
  channel.output_start = 0;
  channel.output_length = 0;
  connections_reset_all();
  dns_reset();
  close(channel.fd);
  open_port();
  channel_tick();
}

void channel_tick(void) {
  if (channel.open) return;
  if (host_is_connected()) start_channel();
  else start_timer();
}

void channel_start(void) {
  open_port();
  channel_tick();
}

/* false on a violation. */
static bool take_frame(const uint8_t *frame, size_t length) {
  enum frame_kind kind = frame[0];
  uint32_t connection = get_u32(frame + 1);
  const uint8_t *body = frame + 5;
  size_t body_length = length - 5;
  switch (kind) {
    case kind_answer:
      if (body_length > dns_bytes_max) return false;
      dns_answer(connection, body, body_length);
      return true;
    case kind_data:
      if (body_length > data_bytes_max) return false;
      break;
    case kind_credit:
      if (body_length != 4) return false;
      break;
    case kind_refused:
      if (body_length != 1) return false;
      break;
    case kind_opened:
    case kind_end:
    case kind_reset:
      if (body_length != 0) return false;
      break;
    default:
      return false;
  }
  connections_frame(kind, connection, body, body_length);
  return true;
}

static void take_frames(void) {
  size_t start = 0;
  while (channel.open && channel.input_length - start >= 4) {
    size_t length = get_u32(channel.input + start);
    if (length < 5 || length > frame_bytes_max) {
      channel_reset();
      return;
    }
    if (channel.input_length - start < 4 + length) break;
    if (!take_frame(channel.input + start + 4, length)) {
      channel_reset();
      return;
    }
    start += 4 + length;
  }
  /* A reset on the way has emptied the buffer already. */
  if (start > channel.input_length) return;
  channel.input_length -= start;
  memmove(channel.input, channel.input + start, channel.input_length);
}

void channel_ready(uint32_t events) {
  if (events & (EPOLLHUP | EPOLLERR)) {
    channel_reset();
    return;
  }
  if (events & EPOLLOUT) flush_output();
  if (!(events & EPOLLIN)) return;
  ssize_t count = read(channel.fd, channel.input + channel.input_length, sizeof channel.input - channel.input_length);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (count <= 0) {
    channel_reset();
    return;
  }
  channel.input_length += (size_t)count;
  take_frames();
}
