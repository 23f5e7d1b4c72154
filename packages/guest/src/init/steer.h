/* How connections of the guest reach the relay although there is no network device. */
#ifndef HELMR_STEER_H
#define HELMR_STEER_H

/* Order of the sockets that the steering program chooses from. */
enum steered { steered_tcp4, steered_tcp6, steered_udp4, steered_udp6, steered_count };

void bring_up(const char *interface);
/* Loopback up, an interface with an address for programs that look for one, and routes that make every address local. */
void set_up_network(void);
/*
 * From now on, until this process ends: TCP to anything but loopback arrives at the listening TCP sockets, UDP to port 53 of anything but
 * loopback at the UDP sockets. getsockname() or IP_PKTINFO tell where it was meant to go.
 */
void steer_to(const int sockets[steered_count]);

#endif
