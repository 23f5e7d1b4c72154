/**
 * Which names a guest was told for an address, and until when that counts. One per guest, bounded: the longest unused address goes first.
 * Times are monotonic milliseconds.
 */
import { networkLimits } from "./limits.ts";

export class KnownNames {
  private readonly addresses = new Map<string, Map<string, number>>();

  remember(name: string, addresses: readonly string[], freshUntil: number): void {
    for (const address of addresses) {
      const names = this.addresses.get(address) ?? new Map<string, number>();
      this.addresses.delete(address);
      this.addresses.set(address, names);
      names.delete(name);
      names.set(name, freshUntil);
      dropOldest(names, networkLimits.namesPerAddress);
    }
    dropOldest(this.addresses, networkLimits.namedAddresses);
  }

  namesOf(address: string, now: number): string[] {
    const names = this.addresses.get(address);
    if (!names) return [];
    for (const [name, freshUntil] of names) if (freshUntil < now) names.delete(name);
    if (names.size === 0) this.addresses.delete(address);
    return [...names.keys()];
  }

  get size(): number {
    return this.addresses.size;
  }
}

function dropOldest(map: Map<string, unknown>, max: number): void {
  for (const key of map.keys()) {
    if (map.size <= max) return;
    map.delete(key);
  }
}
