/** Bounds of the guest network. Sizes in bytes, times in milliseconds. The wire's own limits are in protocol/guest/network.ts. */
const KiB = 1024;
const MiB = 1024 * KiB;

export const networkLimits = {
  /** Frames of one guest handled before the other guests of this worker get their turn. */
  framesPerTurn: 256,
  /** What waits for the guest to read it: above `roomBytes` no far end is read, above `controlBytes` the guest is not read either. */
  outgoingRoomBytes: 512 * KiB,
  outgoingControlBytes: 1 * MiB,
  /** Frames from this size on are written into buffers that are kept for the next ones, so many of them. */
  reuseFromBytes: 16 * KiB,
  idleFrameBuffers: 64,
  /** One read of a far end. A far end is read only while the guest takes this much, so nothing read ever has to be kept. */
  readBytes: 64 * KiB,
  /** CREDIT is sent when this much was taken, so that a full window costs four frames. */
  creditStepBytes: 64 * KiB,
  /** Pieces smaller than this are copied together when the far end is slow; greater ones keep the chunk they came in. */
  copyBelowBytes: 32 * KiB,
  /** What far ends of one guest have not taken yet, all together; the connection that goes beyond is reset. */
  heldBytesPerGuest: 32 * MiB,

  connectTimeoutMs: 10_000,
  /** How long a far end may take the last bytes of a connection that the guest has finished. */
  lingerMs: 30_000,
  keepAliveMs: 60_000,
  /** New connections of one guest: beyond the burst they wait for their turn. */
  opensBurst: 512,
  opensPerSecond: 256,
  /** Sockets of one guest, the ones that only flush included. */
  socketsPerGuest: 1280,
  /** Sockets of all guests of this worker. */
  socketsPerWorker: 8192,
  /** The beginning of a TLS connection that is read for its server name. */
  clientHelloBytes: 20 * KiB,

  /** Names. The guest's relay waits 12 s for an answer. */
  dnsTryMs: 2_000,
  dnsTotalMs: 8_000,
  dnsTries: 4,
  dnsInFlightPerGuest: 48,
  dnsInFlightPerWorker: 1024,
  dnsBurst: 400,
  dnsPerSecond: 100,
  dnsTcpStreamsPerGuest: 16,
  dnsTcpIdleMs: 30_000,
  dnsUpstreamUdpBytes: 1232,
  dnsUpstreamTcpBytes: 65_535,
  dnsCacheEntries: 512,
  dnsTtlSecondsMin: 1,
  dnsTtlSecondsMax: 300,
  dnsNegativeTtlSeconds: 5,
  dnsNegativeTtlSecondsMax: 30,
  /** Time to live of what the host's own tables say (they have none). */
  dnsLocalTtlSeconds: 30,
  dnsAddressesPerName: 64,
  /** An address counts as a name's this long after the answer's own time ran out: programs and pools keep addresses a little. */
  nameFreshMs: 300_000,
  namedAddresses: 2048,
  namesPerAddress: 32,
  hostsFileBytes: 1 * MiB,
  /** How often the host's files and interfaces are looked at again, at most. */
  hostFactsMs: 5_000,

  systemLookUpsAtOnce: 2,

  /** Decisions that are the same again are counted for this long instead of being reported. */
  decisionRepeatMs: 60_000,
  decisionsRemembered: 512,
  decisionsBurst: 256,
  decisionsPerSecond: 5,

  allowEntries: 1024,
  serviceEntries: 100,
  /** As much as an attach message takes (protocol/guest/handshake.ts). */
  caBundleBytes: 1_000_000,
  npmTimeoutMs: 15_000,
} as const;
