/**
 * Which templates the driver keeps spare machines of: those of the default shapes, and the ones used last. Their templates are held, so that they
 * are not evicted while machines wait on them. Nothing is kept on hosts where a fresh clone is fast (`count` 0).
 */
import type { VmDriver } from "../vm/driver.ts";
import type { HeldTemplate } from "./template-store.ts";

/** Kinds of machines that wait at the same time. */
const kindsMax = 2;

export class SparePlan {
  private readonly driver: VmDriver;
  private readonly count: number;
  private readonly onFailed: (error: unknown) => void;
  /** By template key, the latest use last. */
  private readonly kept = new Map<string, HeldTemplate>();

  constructor(options: { driver: VmDriver; count: number; onFailed: (error: unknown) => void }) {
    this.driver = options.driver;
    this.count = options.count;
    this.onFailed = options.onFailed;
  }

  /** Takes the held template over. */
  used(held: HeldTemplate): void {
    const { key } = held.template;
    const known = this.kept.get(key);
    if (known !== undefined || this.count === 0) {
      held.release();
      if (known !== undefined) {
        this.kept.delete(key);
        this.kept.set(key, known);
      }
      return;
    }
    this.kept.set(key, held);
    for (const [oldest, dropped] of this.kept) {
      if (this.kept.size <= kindsMax) break;
      this.kept.delete(oldest);
      dropped.release();
    }
    this.wish();
  }

  /** A template that was found bad has no spares. */
  forget(key: string): void {
    const held = this.kept.get(key);
    if (held === undefined) return;
    this.kept.delete(key);
    held.release();
    this.wish();
  }

  private wish(): void {
    const wishes = [...this.kept.values()].map(({ template }) => ({ template, snapshotable: true, count: this.count }));
    this.driver.keepSpares(wishes).catch(this.onFailed);
  }
}
