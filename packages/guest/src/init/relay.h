/*
 * The network relay: every connection that a process of the guest opens is accepted here and carried over the second port to the worker,
 * which decides and connects (protocol/guest/network.ts has the frames and their meaning).
 *
 *   channel     closed → (host connected) → open: SYNC is written first → (host gone, `reset`, violation) → closed again
 *               every closing resets every connection and drops every query; the port is closed and opened, so nothing of the old host stays
 *   connection  free → opening (OPEN sent) → open (OPENED received) → free (both ENDs, or a RESET from either side)
 *
 * One thread, epoll, level-triggered. Memory is bounded: 1024 connections, each holding at most one window of bytes that its reader did not
 * take yet, all together at most `held_bytes_max`; one input and one output buffer for the port. When the output buffer is nearly full no
 * connection is read until it has drained.
 */
#ifndef HELMR_RELAY_H
#define HELMR_RELAY_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  connections_max = 1024,
  window_bytes = 262144,
  data_bytes_max = 65536,
  frame_bytes_max = 70000,
  frame_header_bytes = 9,
  dns_bytes_max = 4096,
  queries_max = 256,
  held_bytes_max = 33554432,
};

enum frame_kind { kind_open = 1, kind_opened, kind_refused, kind_data, kind_credit, kind_end, kind_reset, kind_query, kind_answer, kind_sync };

/* What an epoll event belongs to. */
enum source { source_channel, source_timer, source_command, source_tcp4, source_tcp6, source_udp4, source_udp6, source_dns_tcp, source_connection };

/* relay-channel.c */
void channel_start(void);
bool channel_is_open(void);
/* Room for one more frame of the biggest size, control frames kept in reserve. */
bool channel_has_room(void);
/* Starts over: see the prologue. */
void channel_reset(void);
void channel_ready(uint32_t events);
/* Looks whether the host has connected; called by the timer. */
void channel_tick(void);
void channel_send(enum frame_kind kind, uint32_t connection, const void *body, size_t length);

/* relay-connection.c */
void connections_start(void);
void connections_accept(int listener);
void connections_reset_all(void);
void connections_ready(uint32_t id, uint32_t events);
/* The channel has room again, or connections are free again. */
void connections_continue(void);
void connections_frame(enum frame_kind kind, uint32_t connection, const uint8_t *body, size_t length);

/* relay-dns.c */
void dns_start(void);
void dns_datagram(int fd);
void dns_accept(int listener);
void dns_stream_ready(uint32_t id, uint32_t events);
void dns_answer(uint32_t query, const uint8_t *message, size_t length);
/* Every open query is answered with SERVFAIL. */
void dns_reset(void);
/* The same for those that are too old. */
void dns_tick(void);
bool dns_is_waiting(void);

/* relay.c */
extern bool network_enabled;
/* `id` comes back with the event: a connection's id, a DNS stream's id, otherwise 0. */
void watch(int fd, uint32_t events, enum source source, uint32_t id);
void rewatch(int fd, uint32_t events, enum source source, uint32_t id);
void unwatch(int fd);
int listening_socket(int family, int type, const char *address, uint16_t port);
void accept_more(bool wanted);
/* The timer runs only while somebody waits: an idle guest shall not wake up. */
void start_timer(void);

#endif
