/**
 * The guest's network channel: every connection a guest opens is relayed over one byte stream of its own (second virtio-serial port or
 * vsock port) to the worker, which decides and connects. A guest has no network device.
 *
 *   frame = length:u32be kind:u8 connection:u32be body           length counts kind, connection and body
 *   kind 1 OPEN    guest → host   family:u8 (4 | 6)  address (4 or 16 bytes)  port:u16be
 *   kind 2 OPENED  host  → guest
 *   kind 3 REFUSED host  → guest  reason:u8 (1 refused, 2 unreachable, 3 timed out, 4 not allowed)
 *   kind 4 DATA    both           bytes (1 to networkDataBytesMax); the guest's first comes after OPENED
 *   kind 5 CREDIT  both           bytes:u32be   the receiver of DATA takes that much more (initial window networkWindowBytes)
 *   kind 6 END     both           no more DATA in this direction (TCP FIN)
 *   kind 7 RESET   both           the connection is gone (TCP RST); the id may be used again by the guest after both sides sent END or one RESET
 *   kind 8 QUERY   guest → host   a DNS message (connection = query id chosen by the guest)
 *   kind 9 ANSWER  host  → guest  a DNS message for that query id
 *   kind 10 SYNC   guest → host   connection 0, body networkSyncBody: the channel begins here
 *
 * SYNC is the guest's first frame after boot, after every `attach` (so after every restore) and after the host came back. The host drops what
 * comes before it (it may be the tail of a frame to somebody else), sends nothing before it, and forgets every connection when it sees one
 * later; the guest has reset its side already.
 *
 * Connection ids are chosen by the guest. A CREDIT gives back what was taken, never more than the window in all. DATA, CREDIT, END and RESET
 * for a connection that the receiver has given up are on their way normally and are dropped. Everything else that these lines do not allow,
 * and what goes beyond the limits below, is a violation: it ends the channel, and with it every connection, not the machine.
 *
 * An ANSWER is the whole message; the guest cuts it for an asker that takes less. Names of services of the host resolve to addresses that
 * mean the service to the host and nothing to anybody else.
 */
export const networkKinds = {
  open: 1,
  opened: 2,
  refused: 3,
  data: 4,
  credit: 5,
  end: 6,
  reset: 7,
  query: 8,
  answer: 9,
  sync: 10,
} as const;
/** "HELMR-NET" and seven bytes that no UTF-8 text contains. */
export const networkSyncBody = Uint8Array.of(
  0x48,
  0x45,
  0x4c,
  0x4d,
  0x52,
  0x2d,
  0x4e,
  0x45,
  0x54,
  0xf1,
  0x0d,
  0x8a,
  0x5c,
  0x93,
  0xe7,
  0x26,
);
export const networkRefusals = { refused: 1, unreachable: 2, timedOut: 3, notAllowed: 4 } as const;
export const networkDataBytesMax = 65_536;
export const networkWindowBytes = 262_144;
export const networkFrameBytesMax = 70_000;
export const networkConnectionsMax = 1024;
export const dnsMessageBytesMax = 4096;
