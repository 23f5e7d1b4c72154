/**
 * Standing still for a cut (protocol/guest/checkpoint.ts): the processes of the tenant and their file systems frozen, everything said and taken,
 * and nothing said after that. Whoever asks decides when; this only knows how.
 *
 *   live ── prepare ──▶ parked ── abort, or the attach of a restored machine ──▶ live
 */
import { setTimeout as pause } from "node:timers/promises";
import type { Attachment } from "./attachment.ts";
import type { GuestTool, Hold } from "./guest-tool.ts";
import { type HostLink, RequestError } from "./host-link.ts";
import { guestLimits } from "./limits.ts";

export interface ParkingGround {
  link: HostLink;
  tool: GuestTool;
  /** Control group of everything that is the tenant's. */
  tenantGroup: string | undefined;
}

/** Turns of the loop without anything new. */
const quietTurns = 3;

export class Parking {
  private readonly ground: ParkingGround;
  private parked = false;
  private held: Hold | undefined;

  constructor(ground: ParkingGround) {
    this.ground = ground;
  }

  get isParked(): boolean {
    return this.parked;
  }

  async prepare(attachment: Attachment): Promise<void> {
    if (this.parked) return;
    const { tool, tenantGroup } = this.ground;
    try {
      await tool.freeze(attachment.fileSystems, tenantGroup);
    } catch (error) {
      throw notStill((error as Error).message, error);
    }
    this.parked = true;
    const flushed = await this.flushed();
    if (!this.parked) throw notStill("The machine was thawed meanwhile, for a cancel or because its lease ended");
    if (flushed) return;
    await this.abort(attachment);
    throw notStill(`The host did not take all output within ${guestLimits.parkFlushMs} ms`);
  }

  /** Behind the answer to `prepare` nothing may be sent any more. */
  holdWhileParked(): void {
    if (this.parked) this.ground.link.hold();
  }

  async abort(attachment: Attachment): Promise<void> {
    if (!this.parked) return;
    const { tool, tenantGroup } = this.ground;
    await tool.thaw(attachment.fileSystems, tenantGroup);
    this.thawed();
  }

  /** The tool has thawed the machine while it attached it. */
  thawed(): void {
    this.parked = false;
    this.ground.link.release();
  }

  async sync({ freeze, holdMs }: { freeze: boolean; holdMs?: number | undefined }, attachment: Attachment): Promise<void> {
    const { tool } = this.ground;
    try {
      if (freeze && holdMs !== undefined) await this.hold(attachment, holdMs);
      else await (freeze ? tool.freeze(attachment.fileSystems) : tool.sync(attachment.fileSystems));
    } catch (error) {
      throw notStill((error as Error).message, error);
    }
  }

  get isHolding(): boolean {
    return this.held !== undefined;
  }

  /** What `hold` had stopped goes on. */
  async release(): Promise<{ heldUs: number; late: boolean } | undefined> {
    const { held } = this;
    this.held = undefined;
    return held?.release();
  }

  private async hold(attachment: Attachment, limitMs: number): Promise<void> {
    await this.release();
    const [workspace] = attachment.fileSystems;
    if (attachment.workspacePath === undefined || workspace === undefined)
      throw new RequestError("bad_request", "This machine has no workspace");
    this.held = await this.ground.tool.hold(workspace, limitMs);
  }

  /** What the frozen processes had written is read here and taken by the host. */
  private async flushed(): Promise<boolean> {
    const { link } = this.ground;
    const deadline = performance.now() + guestLimits.parkFlushMs;
    let quiet = 0;
    for (let seen = -1; quiet < quietTurns;) {
      if (performance.now() > deadline || !this.parked) return false;
      await pause(2);
      const written = link.bytesWritten;
      quiet = written === seen && link.streamsSettled ? quiet + 1 : 0;
      seen = written;
    }
    return true;
  }
}

function notStill(message: string, cause?: unknown): RequestError {
  return new RequestError("sync_failed", message, { retryable: true, cause });
}
