/**
 * The part of qcow2 (version 3) that our overlays use: clusters of 64 KiB, refcounts of 16 bits, a raw backing file, no snapshots, no
 * compression, no internal encryption. Layout of a fresh overlay, in clusters: 0 header · 1 refcount table · 2 first refcount block ·
 * 3… L1 table. QEMU appends the rest. All numbers are big-endian.
 */
export const clusterBytes = 65_536;
export const l2Entries = clusterBytes / 8;
/** What one L2 table maps: 512 MiB. */
export const l2Span = l2Entries * clusterBytes;
/** L1 table of at most 16 clusters: devices up to 64 TiB. */
export const l1EntriesMax = 16 * l2Entries;

export const headerBytes = 112;
export const headerMagic = 0x5146_49fb;
export const backingFormatExtension = 0xe279_2aca;
export const field = {
  magic: 0,
  version: 4,
  backingOffset: 8,
  backingLength: 16,
  clusterBits: 20,
  size: 24,
  encryption: 32,
  l1Entries: 36,
  l1Offset: 40,
  refcountTableOffset: 48,
  refcountTableClusters: 56,
  snapshots: 60,
  snapshotsOffset: 64,
  incompatible: 72,
  compatible: 80,
  autoclear: 88,
  refcountOrder: 96,
  headerLength: 100,
} as const;

/** Bits of an L2 entry. */
export const entryOffsetMask = 0x00ff_ffff_ffff_fe00n;
export const entryCompressed = 1n << 62n;
export const entryZero = 1n;

export type OverlayErrorCode = "overlay_malformed" | "overlay_size" | "overlay_unreadable";

/** An overlay that is not one of ours any more. The file was written by a monitor beside a hostile guest: nothing in it is trusted. */
export class OverlayError extends Error {
  override name = "OverlayError";
  readonly code: OverlayErrorCode;
  constructor(code: OverlayErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
