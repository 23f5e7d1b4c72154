/**
 * Driver templates on this host: a cache per (driver, kernel, substrate, image, shape), named by the key the driver computes from all of it.
 *
 *   missing ──build (one at a time, under a lock that other processes see)──▶ ready ⇄ held      ready ──evicted or found bad──▶ missing
 *
 * A template holds nothing of a tenant but the image's bytes. Whoever needs one that is missing waits for it and is told so; the default shapes are
 * built when the worker starts. A directory under its final name is complete.
 */
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { withFileLock } from "../host/file-lock.ts";
import { Gate } from "../host/limited.ts";
import type { MachineShape, Template, TemplateSpec, VmDriver } from "../vm/driver.ts";

export interface HeldTemplate {
  template: Template;
  /** Holds it once more, for somebody else. */
  again(): HeldTemplate;
  release(): void;
  /** It did not restore: it is built again for the next one. */
  discard(): Promise<void>;
}

export interface GuestFiles {
  kernel: string;
  initramfs: string;
  substrate: string;
}

export interface TemplateStoreOptions {
  directory: string;
  bytesMax: number;
  driver: VmDriver;
  guest: GuestFiles;
}

interface Entry {
  template: Template;
  imageRef: string;
  bytes: number;
  holders: number;
  /** Found bad while others still use it. */
  doomed: boolean;
}

/** For which image it is; everything else is the driver's. */
const imageFile = "image-ref";
const buildLimitMs = 5 * 60_000;
/** A lock whose holder lives is not waited for longer than that. */
const abandonedLockMs = 1_000;

export class TemplateStore {
  private readonly options: TemplateStoreOptions;
  /** By key, in order of use, the oldest first. */
  private readonly entries = new Map<string, Entry>();
  private readonly building = new Map<string, Promise<void>>();
  private readonly gate = new Gate(1);
  private readonly closing = new AbortController();

  private constructor(options: TemplateStoreOptions) {
    this.options = options;
  }

  static async open(options: TemplateStoreOptions): Promise<TemplateStore> {
    const store = new TemplateStore(options);
    await mkdir(options.directory, { recursive: true, mode: 0o711 });
    await store.scan();
    return store;
  }

  /** Image refs for which a template is here: placement prefers them. */
  warmImages(): string[] {
    return [...new Set([...this.entries.values()].filter((entry) => !entry.doomed).map((entry) => entry.imageRef))];
  }

  /** `onWait` is called once when the template has to be built first. */
  async acquire(
    image: { ref: string; path: string },
    shape: MachineShape,
    wait: { signal: AbortSignal; onWait?: () => void },
  ): Promise<HeldTemplate> {
    const spec: TemplateSpec = { ...this.options.guest, image: image.path, shape };
    const key = await this.options.driver.templateKey(spec);
    let told = false;
    for (;;) {
      wait.signal.throwIfAborted();
      const entry = this.entries.get(key);
      if (entry !== undefined && !entry.doomed) {
        // It may have been made when the same ingredients lay elsewhere: a checkout that was moved, a state directory that was copied.
        entry.template = { ...entry.template, spec };
        return this.hold(key, entry);
      }
      if (!told) wait.onWait?.();
      told = true;
      const running = this.building.get(key);
      // Somebody else's failure is theirs; this one then tries for itself.
      if (running !== undefined)
        await raceAbort(
          running.catch(() => {}),
          wait.signal,
        );
      else await raceAbort(this.build(key, spec, image.ref), wait.signal);
    }
  }

  /** Builds that are under way are given up; resolves when nothing of them is left. */
  async close(): Promise<void> {
    this.closing.abort(new DOMException("The worker stops", "AbortError"));
    await Promise.allSettled(this.building.values());
  }

  private hold(key: string, entry: Entry): HeldTemplate {
    entry.holders += 1;
    this.entries.delete(key);
    this.entries.set(key, entry);
    let released = false;
    const release = () => {
      if (released) return;
      released = true;
      entry.holders -= 1;
      if (entry.doomed && entry.holders === 0) void this.remove(key, entry);
    };
    return {
      template: entry.template,
      again: () => this.hold(key, entry),
      release,
      discard: async () => {
        entry.doomed = true;
        release();
      },
    };
  }

  /** Goes on when whoever asked for it has gone: the next one will want it. */
  private build(key: string, spec: TemplateSpec, imageRef: string): Promise<void> {
    const signal = AbortSignal.any([AbortSignal.timeout(buildLimitMs), this.closing.signal]);
    const work = this.gate.run(() => withFileLock(this.lockOf(key), signal, () => this.buildLocked(key, { spec, imageRef, signal })));
    this.building.set(
      key,
      work.finally(() => this.building.delete(key)),
    );
    this.building.get(key)?.catch(() => {});
    return work;
  }

  private async buildLocked(key: string, what: { spec: TemplateSpec; imageRef: string; signal: AbortSignal }): Promise<void> {
    const doomed = this.entries.get(key);
    if (doomed !== undefined) await this.remove(key, doomed);
    const directory = join(this.options.directory, key);
    // Another process may have built it while this one waited for the lock.
    if (await this.adopt(key)) return;
    const partial = `${directory}.partial`;
    await this.clear(partial);
    await mkdir(partial, { mode: 0o711 });
    try {
      const made = await this.options.driver.createTemplate(what.spec, partial, what.signal);
      const template = { ...made, directory };
      await writeFile(join(partial, imageFile), what.imageRef);
      await rename(partial, directory);
      await this.enter(key, { template, imageRef: what.imageRef });
    } catch (error) {
      await rm(partial, { recursive: true, force: true });
      throw error;
    }
  }

  private async adopt(key: string): Promise<boolean> {
    const directory = join(this.options.directory, key);
    const template = await this.options.driver.readTemplate(directory);
    const imageRef = await readFile(join(directory, imageFile), "utf8").catch(() => undefined);
    if (template?.key === key && imageRef !== undefined) {
      await this.enter(key, { template, imageRef });
      return true;
    }
    // Missing, not whole, or touched since: it is built again.
    await rm(directory, { recursive: true, force: true });
    return false;
  }

  private async enter(key: string, described: { template: Template; imageRef: string }): Promise<void> {
    const bytes = await directoryBytes(described.template.directory);
    this.entries.set(key, { ...described, bytes, holders: 0, doomed: false });
    let over = [...this.entries.values()].reduce((sum, entry) => sum + entry.bytes, 0) - this.options.bytesMax;
    for (const [other, entry] of this.entries) {
      if (over <= 0) return;
      if (entry.holders > 0 || other === key) continue;
      over -= entry.bytes;
      await this.remove(other, entry);
    }
  }

  private async remove(key: string, entry: Entry): Promise<void> {
    if (this.entries.get(key) === entry) this.entries.delete(key);
    await rm(entry.template.directory, { recursive: true, force: true });
  }

  private async scan(): Promise<void> {
    for (const name of await readdir(this.options.directory)) {
      if (name.includes(".")) {
        // Locks and half-built templates; a lock that is still held by a running process is taken again by it.
        if (name.endsWith(".partial")) await this.removeAbandoned(name.slice(0, -".partial".length));
        continue;
      }
      await this.adopt(name);
    }
  }

  /** What a process that died left of a build, its monitor included. One that another process of this host is making holds its lock, and is left alone. */
  private async removeAbandoned(key: string): Promise<void> {
    try {
      await withFileLock(this.lockOf(key), AbortSignal.timeout(abandonedLockMs), () =>
        this.clear(join(this.options.directory, `${key}.partial`)),
      );
    } catch (error) {
      if ((error as Error).name !== "TimeoutError") throw error;
    }
  }

  private async clear(partial: string): Promise<void> {
    const { driver } = this.options;
    for (const leftover of await driver.findLeftovers(partial)) await driver.endLeftover(leftover);
    await rm(partial, { recursive: true, force: true });
  }

  private lockOf(key: string): string {
    return join(this.options.directory, `${key}.lock`);
  }
}

async function directoryBytes(directory: string): Promise<number> {
  let bytes = 0;
  for (const name of await readdir(directory)) bytes += (await stat(join(directory, name))).blocks * 512;
  return bytes;
}

async function raceAbort<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  let abort: () => void = () => {};
  const aborted = new Promise<never>((_, reject) => {
    abort = () => reject(signal.reason as Error);
    signal.addEventListener("abort", abort, { once: true });
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
