/*
 * TCP connections of the guest. An id is slot + generation * connections_max, so that a frame for a connection that is gone never reaches
 * the next one in its slot.
 */
#define _GNU_SOURCE
#include "helmr-guest.h"
#include "relay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <netinet/tcp.h>
#include <unistd.h>

enum { credit_step_bytes = 65536, generation_max = 0x3fffff };

enum phase { phase_free, phase_opening, phase_open };

struct connection {
  enum phase phase;
  int fd;
  uint32_t id;
  uint32_t generation;
  uint32_t watched;
  bool unwatched; /* hung up while nothing may be read: epoll would report that for ever */
  bool guest_ended; /* END sent */
  bool host_ended;  /* END received */
  bool shut;        /* and passed on to the process */
  uint32_t credit;  /* bytes the host still takes */
  uint32_t owed;    /* bytes delivered, CREDIT not sent yet */
  uint8_t *held;    /* bytes from the host that the process did not take yet */
  size_t held_start;
  size_t held_length;
  size_t held_capacity;
};

static struct connection connections[connections_max];
static uint32_t in_use;
static size_t held_total;

static struct connection *find(uint32_t id) {
  struct connection *connection = &connections[id % connections_max];
  return connection->phase != phase_free && connection->id == id ? connection : NULL;
}

static uint32_t wanted_events(const struct connection *connection) {
  uint32_t events = 0;
  bool may_send = connection->phase == phase_open && !connection->guest_ended && connection->credit > 0 && channel_has_room();
  if (may_send) events |= EPOLLIN;
  if (connection->held_length > 0) events |= EPOLLOUT;
  return events;
}

static void update_watch(struct connection *connection) {
  uint32_t events = wanted_events(connection);
  if (events == connection->watched) return;
  connection->watched = events;
  if (connection->unwatched) watch(connection->fd, events, source_connection, connection->id);
  else rewatch(connection->fd, events, source_connection, connection->id);
  connection->unwatched = false;
}

static void release(struct connection *connection) {
  if (!connection->unwatched) unwatch(connection->fd);
  close(connection->fd);
  held_total -= connection->held_capacity;
  free(connection->held);
  uint32_t generation = connection->generation;
  *connection = (struct connection){.phase = phase_free, .fd = -1, .generation = generation};
  if (in_use == connections_max) accept_more(true);
  in_use -= 1;
}

/* The process sees ECONNRESET. */
static void abort_connection(struct connection *connection) {
  const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
  setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  release(connection);
}

static void reset_connection(struct connection *connection) {
  channel_send(kind_reset, connection->id, NULL, 0);
  /* Sending may have closed the channel, and with it this connection. */
  if (connection->phase != phase_free) abort_connection(connection);
}

static void release_when_ended(struct connection *connection) {
  if (connection->guest_ended && connection->shut) release(connection);
  else update_watch(connection);
}

static void pay_credit(struct connection *connection) {
  if (connection->owed < credit_step_bytes || connection->host_ended) return;
  uint32_t owed = connection->owed;
  const uint8_t bytes[4] = {(uint8_t)(owed >> 24), (uint8_t)(owed >> 16), (uint8_t)(owed >> 8), (uint8_t)owed};
  connection->owed = 0;
  channel_send(kind_credit, connection->id, bytes, sizeof bytes);
}

/* Writes what the socket takes; false when the process is gone. */
static bool deliver(struct connection *connection, const uint8_t *bytes, size_t length, size_t *taken) {
  *taken = 0;
  while (*taken < length) {
    ssize_t count = send(connection->fd, bytes + *taken, length - *taken, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) break;
    if (count < 0) return false;
    *taken += (size_t)count;
  }
  connection->owed += (uint32_t)*taken;
  return true;
}

static bool hold(struct connection *connection, const uint8_t *bytes, size_t length) {
  size_t needed = connection->held_length + length;
  if (connection->held_start + needed > connection->held_capacity) {
    memmove(connection->held, connection->held + connection->held_start, connection->held_length);
    connection->held_start = 0;
  }
  if (needed > connection->held_capacity) {
    size_t capacity = connection->held_capacity ? connection->held_capacity : data_bytes_max;
    while (capacity < needed) capacity *= 2;
    if (needed > window_bytes || held_total + capacity - connection->held_capacity > held_bytes_max) return false;
    uint8_t *bigger = realloc(connection->held, capacity);
    if (!bigger) return false;
    held_total += capacity - connection->held_capacity;
    connection->held = bigger;
    connection->held_capacity = capacity;
  }
  memcpy(connection->held + connection->held_start + connection->held_length, bytes, length);
  connection->held_length = needed;
  return true;
}

static void pass_end(struct connection *connection) {
  if (!connection->host_ended || connection->held_length > 0 || connection->shut) return;
  shutdown(connection->fd, SHUT_WR);
  connection->shut = true;
}

static void write_held(struct connection *connection) {
  size_t taken;
  if (!deliver(connection, connection->held + connection->held_start, connection->held_length, &taken)) {
    reset_connection(connection);
    return;
  }
  connection->held_start += taken;
  connection->held_length -= taken;
  if (connection->held_length == 0) connection->held_start = 0;
  pay_credit(connection);
  if (connection->phase == phase_free) return;
  pass_end(connection);
  release_when_ended(connection);
}

static void read_process(struct connection *connection) {
  static uint8_t bytes[data_bytes_max];
  size_t wanted = connection->credit < sizeof bytes ? connection->credit : sizeof bytes;
  ssize_t count = recv(connection->fd, bytes, wanted, MSG_DONTWAIT);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (count < 0) {
    reset_connection(connection);
    return;
  }
  if (count == 0) {
    connection->guest_ended = true;
    channel_send(kind_end, connection->id, NULL, 0);
  } else {
    connection->credit -= (uint32_t)count;
    channel_send(kind_data, connection->id, bytes, (size_t)count);
  }
  if (connection->phase != phase_free) release_when_ended(connection);
}

void connections_ready(uint32_t id, uint32_t events) {
  struct connection *connection = find(id);
  /* An event of the same batch may have ended it. */
  if (!connection) return;
  if (events & EPOLLERR) {
    reset_connection(connection);
    return;
  }
  if (events & EPOLLOUT) write_held(connection);
  if (connection->phase == phase_free) return;
  if (events & EPOLLIN && wanted_events(connection) & EPOLLIN) read_process(connection);
  if (connection->phase == phase_free) return;
  update_watch(connection);
  if (events & EPOLLHUP && connection->watched == 0 && !connection->unwatched) {
    unwatch(connection->fd);
    connection->unwatched = true;
  }
}

void connections_continue(void) {
  for (size_t slot = 0; slot < connections_max; slot += 1) {
    if (connections[slot].phase != phase_free) update_watch(&connections[slot]);
  }
  accept_more(in_use < connections_max);
}

void connections_reset_all(void) {
  for (size_t slot = 0; slot < connections_max; slot += 1) {
    if (connections[slot].phase != phase_free) abort_connection(&connections[slot]);
  }
}

void connections_start(void) {
  for (size_t slot = 0; slot < connections_max; slot += 1) connections[slot].fd = -1;
}

static struct connection *take_slot(void) {
  for (size_t slot = 0; slot < connections_max; slot += 1) {
    struct connection *connection = &connections[slot];
    if (connection->phase != phase_free) continue;
    connection->generation = connection->generation == generation_max ? 1 : connection->generation + 1;
    connection->id = connection->generation * connections_max + (uint32_t)slot;
    return connection;
  }
  return NULL;
}

static void send_open(uint32_t id, int fd) {
  struct sockaddr_storage meant;
  socklen_t length = sizeof meant;
  uint8_t body[1 + 16 + 2];
  size_t size;
  if (getsockname(fd, (struct sockaddr *)&meant, &length) < 0) return;
  if (meant.ss_family == AF_INET) {
    const struct sockaddr_in *address = (const struct sockaddr_in *)&meant;
    body[0] = 4;
    memcpy(body + 1, &address->sin_addr, 4);
    memcpy(body + 5, &address->sin_port, 2);
    size = 7;
  } else {
    const struct sockaddr_in6 *address = (const struct sockaddr_in6 *)&meant;
    body[0] = 6;
    memcpy(body + 1, &address->sin6_addr, 16);
    memcpy(body + 17, &address->sin6_port, 2);
    size = 19;
  }
  channel_send(kind_open, id, body, size);
}

void connections_accept(int listener) {
  int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0) return;
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  struct connection *connection = network_enabled && channel_is_open() ? take_slot() : NULL;
  if (!connection) {
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(fd);
    return;
  }
  connection->phase = phase_opening;
  connection->fd = fd;
  connection->credit = window_bytes;
  connection->watched = 0;
  watch(fd, 0, source_connection, connection->id);
  in_use += 1;
  if (in_use == connections_max) accept_more(false);
  send_open(connection->id, fd);
}

static void take_data(struct connection *connection, const uint8_t *bytes, size_t length) {
  size_t taken = 0;
  bool gone = connection->host_ended || connection->phase != phase_open;
  if (!gone && connection->held_length == 0) gone = !deliver(connection, bytes, length, &taken);
  if (!gone && taken < length) gone = !hold(connection, bytes + taken, length - taken);
  if (gone) {
    reset_connection(connection);
    return;
  }
  pay_credit(connection);
  if (connection->phase != phase_free) update_watch(connection);
}

void connections_frame(enum frame_kind kind, uint32_t id, const uint8_t *body, size_t length) {
  struct connection *connection = find(id);
  /* Frames for a connection that this side has given up are expected. */
  if (!connection) return;
  switch (kind) {
    case kind_opened:
      connection->phase = phase_open;
      update_watch(connection);
      return;
    case kind_refused:
    case kind_reset:
      abort_connection(connection);
      return;
    case kind_credit: {
      uint64_t credit = (uint64_t)connection->credit + ((uint32_t)body[0] << 24 | (uint32_t)body[1] << 16 | (uint32_t)body[2] << 8 | body[3]);
      connection->credit = credit > UINT32_MAX ? UINT32_MAX : (uint32_t)credit;
      update_watch(connection);
      return;
    }
    case kind_data:
      take_data(connection, body, length);
      return;
    case kind_end:
      connection->host_ended = true;
      pass_end(connection);
      release_when_ended(connection);
      return;
    default:
      return;
  }
}
