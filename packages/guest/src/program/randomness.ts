/**
 * Randomness of a process whose memory is written down and brought back (docs/architecture/park-resume.md). The kernel's generator is seeded anew before the
 * process goes on; here what the process keeps of its own is taken from the kernel, or thrown away when it has been parked:
 *
 *   OpenSSL (node:crypto, Web Crypto, TLS, in all threads)    keeps nothing: every byte is the kernel's (src/random/kernel-random.c)
 *   Math.random of the main context                           seeded by the kernel, anew after every message of the supervisor
 *   what node:crypto draws ahead (randomUUID, randomInt)      used up when the clock says that the machine stood still
 *
 * Not reached: libraries that draw ahead for themselves, worker threads' Math.random, child processes that are not this program.
 */
import { fileURLToPath } from "node:url";

interface KernelRandom {
  fill?: (buffer: ArrayBuffer) => boolean;
}

export interface Randomness {
  /** Nothing that was drawn before is given out from here on. */
  forget(): void;
}

/** The wall clock goes on while the machine stands still, the monotonic one does not. A restore takes longer than this, a correction of the clock less. */
const standstillMs = 50;
/** More than node:crypto keeps of either (lib/internal/crypto/random.js: 128 UUIDs, 1024 integers). */
const uuidsKept = 128;
const integersKept = 1_024;

export function useKernelRandomness(addonFile = fileURLToPath(new URL("kernel-random.node", import.meta.url))): Randomness {
  const { fill } = loadAddon(addonFile);
  const drawn = fill === undefined ? undefined : replaceMathRandom(fill);
  let clocks = clockDifference();
  return {
    forget() {
      drawn?.forget();
      const now = clockDifference();
      if (Math.abs(now - clocks) > standstillMs) useUpDrawnAhead();
      clocks = now;
    },
  };
}

/** An image's Node may forbid addons, or be one that this one does not fit to: then its generators are as they were. */
function loadAddon(file: string): KernelRandom {
  const module = { exports: {} };
  try {
    process.dlopen(module, file);
  } catch {
    return {};
  }
  return module.exports;
}

/** xoshiro128**, as fast as V8's own, seeded by the kernel when it is next asked after `forget`. */
function replaceMathRandom(fill: (buffer: ArrayBuffer) => boolean): { forget(): void } | undefined {
  const own = Math.random;
  const seed = new Uint32Array(4);
  if (!fill(seed.buffer)) return undefined;
  let [a, b, c, d] = [0, 0, 0, 0];
  const word = (): number => {
    const turned = Math.imul(b, 5);
    const result = Math.imul((turned << 7) | (turned >>> 25), 9);
    const shifted = b << 9;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= shifted;
    d = (d << 11) | (d >>> 21);
    return result >>> 0;
  };
  const random = (): number => {
    if ((a | b | c | d) === 0) {
      if (!fill(seed.buffer)) return own();
      [a = 0, b = 0, c = 0, d = 1] = seed;
    }
    // 53 bits, as many as a number between 0 and 1 keeps apart.
    return ((word() >>> 5) * 67_108_864 + (word() >>> 6)) / 9_007_199_254_740_992;
  };
  Object.defineProperty(Math, "random", { value: random, writable: true, enumerable: false, configurable: true });
  return { forget: () => void (a = b = c = d = 0) };
}

const clockDifference = (): number => Date.now() - performance.now();

function useUpDrawnAhead(): void {
  const crypto = process.getBuiltinModule?.("node:crypto") as
    | { randomUUID(): string; randomInt(max: number): number; randomUUIDv7?: () => string }
    | undefined;
  if (crypto === undefined) return;
  for (let count = 0; count < uuidsKept; count += 1) {
    crypto.randomUUID();
    crypto.randomUUIDv7?.();
  }
  for (let count = 0; count < integersKept; count += 1) crypto.randomInt(2);
}
