/*
 * Names: queries to port 53 of any address go to the worker as they are (QUERY) and come back as they are (ANSWER). Over UDP an answer that
 * is longer than what the asker takes is cut to its question with the truncation bit, which makes it ask again over TCP (127.0.0.53 only).
 */
#define _GNU_SOURCE
#include "helmr-guest.h"
#include "relay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { query_limit_ms = 12000, plain_udp_bytes = 512, header_bytes = 12, streams_max = 16, option_record_type = 41, answer_servfail = 2 };

/* One question on its way. Its id on the channel is slot + generation * queries_max. */
struct query {
  bool used;
  uint32_t generation;
  int64_t deadline_ns;
  uint32_t stream; /* id of a TCP stream, 0 for UDP */
  int fd;
  struct sockaddr_storage asker;
  union {
    struct in_pktinfo ipv4;
    struct in6_pktinfo ipv6;
  } meant;
  size_t answer_max;
  uint8_t head[header_bytes + 260]; /* header and question, for answers made here */
  size_t head_length;
};

/* One TCP connection to 127.0.0.53: one question at a time. */
struct stream {
  int fd;
  uint32_t id;
  bool asked;
  uint8_t message[2 + dns_bytes_max];
  size_t length;
};

static struct query queries[queries_max];
static struct stream streams[streams_max];
static uint32_t waiting;
static uint32_t last_stream;

static uint16_t get_u16(const uint8_t *from) {
  return (uint16_t)(from[0] << 8 | from[1]);
}

/* Where the name that starts at `at` ends, or 0. */
static size_t skip_name(const uint8_t *message, size_t length, size_t at) {
  while (at < length) {
    uint8_t label = message[at];
    if (label == 0) return at + 1;
    if (label >= 0xc0) return at + 2;
    at += 1U + label;
  }
  return 0;
}

/* Header and first question; 0 when the message has none. */
static size_t question_end(const uint8_t *message, size_t length) {
  if (length < header_bytes || get_u16(message + 4) != 1) return 0;
  size_t end = skip_name(message, length, header_bytes);
  return end == 0 || end + 4 > length ? 0 : end + 4;
}

/* What the asker takes over UDP: 512 bytes, or what its EDNS record says. */
static size_t udp_answer_max(const uint8_t *message, size_t length) {
  size_t at = question_end(message, length);
  if (at == 0 || get_u16(message + 6) != 0 || get_u16(message + 8) != 0) return plain_udp_bytes;
  for (uint16_t left = get_u16(message + 10); left > 0; left -= 1) {
    at = skip_name(message, length, at);
    if (at == 0 || at + 10 > length) return plain_udp_bytes;
    if (get_u16(message + at) == option_record_type) {
      size_t size = get_u16(message + at + 2);
      return size < plain_udp_bytes ? plain_udp_bytes : size;
    }
    at += 10U + get_u16(message + at + 8);
  }
  return plain_udp_bytes;
}

void dns_start(void) {
  for (size_t slot = 0; slot < streams_max; slot += 1) streams[slot].fd = -1;
}

bool dns_is_waiting(void) {
  return waiting > 0;
}

static void close_stream(struct stream *stream) {
  unwatch(stream->fd);
  close(stream->fd);
  stream->fd = -1;
}

static struct stream *find_stream(uint32_t id) {
  struct stream *stream = &streams[id % streams_max];
  return stream->fd >= 0 && stream->id == id ? stream : NULL;
}

static void answer_stream(struct stream *stream, const uint8_t *message, size_t length) {
  uint8_t bytes[2 + dns_bytes_max] = {(uint8_t)(length >> 8), (uint8_t)length};
  memcpy(bytes + 2, message, length);
  /* It fits into an empty socket buffer, and this one has one answer at a time. */
  if (send(stream->fd, bytes, 2 + length, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)(2 + length)) {
    close_stream(stream);
    return;
  }
  stream->asked = false;
  stream->length = 0;
  rewatch(stream->fd, EPOLLIN, source_dns_tcp, stream->id);
}

static void answer_datagram(struct query *query, uint8_t *message, size_t length) {
  struct iovec part = {.iov_base = message, .iov_len = length};
  union {
    struct cmsghdr header;
    uint8_t bytes[CMSG_SPACE(sizeof(struct in6_pktinfo))];
  } control = {0};
  bool ipv4 = query->asker.ss_family == AF_INET;
  size_t info_size = ipv4 ? sizeof(struct in_pktinfo) : sizeof(struct in6_pktinfo);
  struct msghdr envelope = {
      .msg_name = &query->asker,
      .msg_namelen = ipv4 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6),
      .msg_iov = &part,
      .msg_iovlen = 1,
      .msg_control = &control,
      .msg_controllen = CMSG_SPACE(info_size),
  };
  struct cmsghdr *header = CMSG_FIRSTHDR(&envelope);
  header->cmsg_level = ipv4 ? IPPROTO_IP : IPPROTO_IPV6;
  header->cmsg_type = ipv4 ? IP_PKTINFO : IPV6_PKTINFO;
  header->cmsg_len = CMSG_LEN(info_size);
  memcpy(CMSG_DATA(header), &query->meant, info_size);
  sendmsg(query->fd, &envelope, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void finish(struct query *query, const uint8_t *message, size_t length) {
  query->used = false;
  waiting -= 1;
  if (query->stream) {
    struct stream *stream = find_stream(query->stream);
    if (stream) answer_stream(stream, message, length);
    return;
  }
  uint8_t bytes[dns_bytes_max];
  if (length > query->answer_max && query->head_length > 0) {
    length = query->head_length;
    memcpy(bytes, query->head, length);
    memcpy(bytes, message, 4);
    bytes[2] |= 0x02;
  } else memcpy(bytes, message, length);
  answer_datagram(query, bytes, length);
}

static void fail(struct query *query) {
  uint8_t answer[sizeof query->head];
  if (query->head_length == 0) {
    query->used = false;
    waiting -= 1;
    return;
  }
  memcpy(answer, query->head, query->head_length);
  memset(answer + 6, 0, 6);
  answer[2] = (uint8_t)(answer[2] | 0x80);
  answer[3] = 0x80 | answer_servfail;
  finish(query, answer, query->head_length);
}

/* `query` has everything but its place in the table. */
static void ask(struct query *asked, const uint8_t *message, size_t length) {
  size_t head = question_end(message, length);
  asked->head_length = head <= sizeof asked->head ? head : 0;
  memcpy(asked->head, message, asked->head_length);
  /* Nothing follows the question in an answer that is made here. */
  if (asked->head_length > 0) memset(asked->head + 6, 0, 6);
  asked->deadline_ns = monotonic_ns() + (int64_t)query_limit_ms * 1000000;
  for (uint32_t slot = 0; slot < queries_max; slot += 1) {
    struct query *query = &queries[slot];
    if (query->used) continue;
    asked->generation = (query->generation + 1) & 0xffffff;
    asked->used = true;
    *query = *asked;
    waiting += 1;
    if (!network_enabled || !channel_has_room()) {
      fail(query);
      return;
    }
    channel_send(kind_query, slot + query->generation * queries_max, message, length);
    start_timer();
    return;
  }
}

void dns_datagram(int fd) {
  uint8_t message[dns_bytes_max];
  struct query query = {.fd = fd};
  struct iovec part = {.iov_base = message, .iov_len = sizeof message};
  union {
    struct cmsghdr header;
    uint8_t bytes[256];
  } control;
  struct msghdr envelope = {
      .msg_name = &query.asker, .msg_namelen = sizeof query.asker, .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  ssize_t length = recvmsg(fd, &envelope, MSG_DONTWAIT);
  if (length < header_bytes || envelope.msg_flags & MSG_TRUNC) return;
  for (struct cmsghdr *header = CMSG_FIRSTHDR(&envelope); header; header = CMSG_NXTHDR(&envelope, header)) {
    if (header->cmsg_level == IPPROTO_IP && header->cmsg_type == IP_PKTINFO) {
      memcpy(&query.meant.ipv4, CMSG_DATA(header), sizeof query.meant.ipv4);
      /* The answer leaves from the address that was asked. */
      query.meant.ipv4.ipi_spec_dst = query.meant.ipv4.ipi_addr;
      query.meant.ipv4.ipi_ifindex = 0;
    }
    if (header->cmsg_level == IPPROTO_IPV6 && header->cmsg_type == IPV6_PKTINFO) {
      memcpy(&query.meant.ipv6, CMSG_DATA(header), sizeof query.meant.ipv6);
      query.meant.ipv6.ipi6_ifindex = 0;
    }
  }
  query.answer_max = udp_answer_max(message, (size_t)length);
  ask(&query, message, (size_t)length);
}

void dns_accept(int listener) {
  int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0) return;
  for (uint32_t slot = 0; slot < streams_max; slot += 1) {
    if (streams[slot].fd >= 0) continue;
    last_stream += 1;
    streams[slot] = (struct stream){.fd = fd, .id = slot + last_stream * streams_max};
    watch(fd, EPOLLIN, source_dns_tcp, streams[slot].id);
    return;
  }
  close(fd);
}

void dns_stream_ready(uint32_t id, uint32_t events) {
  struct stream *stream = find_stream(id);
  if (!stream) return;
  if (events & (EPOLLERR | EPOLLHUP)) {
    close_stream(stream);
    return;
  }
  if (stream->asked) return;
  ssize_t count = recv(stream->fd, stream->message + stream->length, sizeof stream->message - stream->length, MSG_DONTWAIT);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (count <= 0) {
    close_stream(stream);
    return;
  }
  stream->length += (size_t)count;
  if (stream->length < 2) return;
  size_t wanted = get_u16(stream->message);
  if (wanted < header_bytes || wanted > dns_bytes_max) {
    close_stream(stream);
    return;
  }
  if (stream->length < 2 + wanted) return;
  stream->asked = true;
  rewatch(stream->fd, 0, source_dns_tcp, stream->id);
  struct query query = {.stream = stream->id, .fd = -1, .answer_max = dns_bytes_max};
  ask(&query, stream->message + 2, wanted);
}

void dns_answer(uint32_t id, const uint8_t *message, size_t length) {
  struct query *query = &queries[id % queries_max];
  if (!query->used || query->generation != id / queries_max || length < header_bytes) return;
  finish(query, message, length);
}

void dns_reset(void) {
  for (size_t slot = 0; slot < queries_max; slot += 1) {
    if (queries[slot].used) fail(&queries[slot]);
  }
}

void dns_tick(void) {
  int64_t now = monotonic_ns();
  for (size_t slot = 0; slot < queries_max; slot += 1) {
    if (queries[slot].used && queries[slot].deadline_ns < now) fail(&queries[slot]);
  }
}
