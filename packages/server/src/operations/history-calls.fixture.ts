/**
 * How a random history of workspaces calls the server: over an engine of its own, whose statements and blobs fail now and then, so that calls are repeated as
 * their callers repeat them. The acts are in workspace-histories.fixture.ts.
 */
import type { SessionStartBody } from "@helmr/protocol/api";
import { until } from "@helmr/test/services";
import { assert } from "../assert.ts";
import { openTreeReader, type TreeReader } from "../files/tree-reader.ts";
import { isRefusal } from "../outcome.ts";
import { DatabaseUnavailable } from "../store/db.ts";
import { isStale, type RunCall } from "../worker-actor.ts";
import { cancelRun } from "./cancel-run.ts";
import { giveUpStorage, markStorage, purgeStorage, refuseOrphans } from "./collect-storage.ts";
import { type Engine, openEngine, type TestWorker } from "./engine.fixture.ts";
import { granted } from "./history-checks.fixture.ts";
import {
  type BlobOperation,
  BlobsFailed,
  type Choices,
  type FailingBlobs,
  failingBlobs,
  TreeEditor,
  WorkerChunks,
} from "./history-trees.fixture.ts";
import { mountHooks } from "./mount-hooks.ts";
import { sessionHooks } from "./session-hooks.ts";
import { startAttempt } from "./start-attempt.ts";
import { type Started, startSession } from "./start-session.ts";

export interface Parts {
  engine: Engine;
  worker: TestWorker;
  blobs: FailingBlobs;
  chunks: WorkerChunks;
  editor: TreeEditor;
  reader: TreeReader;
}

export async function openParts(choose: Choices): Promise<Parts> {
  const [mount, session] = [mountHooks(() => engine.context), sessionHooks(() => engine.context)];
  const engine: Engine = await openEngine({
    ...session,
    ...mount,
    runFinished: [...session.runFinished, ...mount.runFinished],
    readDirectives: async (context, leases) => [
      ...(await session.readDirectives(context, leases)),
      ...(await mount.readDirectives(context, leases)),
    ],
  });
  await engine.deploy();
  const blobs = failingBlobs(engine.context.blobs);
  const { keys } = engine.context;
  return {
    engine,
    worker: await engine.worker(),
    blobs,
    chunks: new WorkerChunks({ blobs: blobs.blobs, keys, orgId: engine.scope.orgId }),
    editor: new TreeEditor(choose),
    reader: openTreeReader({ blobs: blobs.blobs }),
  };
}

export class HistoryCalls {
  /** What was done, for whoever looks at a failure. */
  protected readonly told: string[] = [];
  protected readonly choose: Choices;
  protected readonly parts: Parts;
  protected count = 0;

  constructor(choose: Choices, parts: Parts) {
    this.choose = choose;
    this.parts = parts;
  }

  async close(): Promise<void> {
    this.parts.editor.close();
    await this.parts.reader.close();
    await this.parts.engine.close();
  }

  protected get context() {
    return { ...this.parts.engine.context, blobs: this.parts.blobs.blobs };
  }

  protected get environmentId(): string {
    return this.parts.engine.scope.environmentId;
  }

  /** As callers do it: what failed for want of an answer is said again. Now and then a statement or the blob store fails. */
  protected async firmly<T>(act: () => Promise<T>): Promise<T> {
    const { engine, blobs } = this.parts;
    for (let tries = 0; ; tries += 1) {
      if (tries < 3 && this.choose.once(2)) engine.failAt(this.choose.below(14), this.choose.of(["before", "after"]));
      try {
        return await act();
      } catch (error) {
        if (!(error instanceof DatabaseUnavailable) && !(error instanceof BlobsFailed)) throw error;
        this.told.push(`  ${error.cause instanceof Error ? error.cause.message : error.message}`);
      } finally {
        engine.failNothing();
        blobs.failNothing();
        await engine.context.gates.settled();
      }
    }
  }

  protected failBlobs(...operations: BlobOperation[]): void {
    if (this.choose.once(3)) this.parts.blobs.failNext(this.choose.of(operations), this.choose.of(["before", "after"]));
  }

  protected key(): string {
    return `key-${(this.count += 1)}`;
  }

  protected async start(body: SessionStartBody): Promise<Started> {
    const { engine } = this.parts;
    return until("the start is answered", async () => {
      const started = await this.firmly(() => startSession(this.context, { scope: engine.scope, body }));
      // The connection of a start that failed is still going down.
      return isRefusal(started) && started.code === "idempotency_pending" ? undefined : granted(started);
    });
  }

  protected async begun(call: RunCall): Promise<void> {
    const started = await this.firmly(() => startAttempt(this.context, call));
    assert(!isStale(started) && started.state === "started", "The attempt is started");
  }

  /** No retries here: what its policy would try again is cancelled. */
  protected async settle(runId: string): Promise<void> {
    const { state } = await this.parts.engine.one<{ state: string }>("select state from runs where id = $1", [runId]);
    if (state === "finished") return;
    const body = { force: true, idempotency_key: this.key() };
    granted(await this.firmly(() => cancelRun(this.context, { environmentId: this.environmentId, runId, body })));
  }

  protected async collectOnce({ graceMs, orphans }: { graceMs?: number; orphans?: boolean }): Promise<number> {
    const options = graceMs === undefined ? {} : { graceMs };
    const again = async <T>(act: () => Promise<T>): Promise<T> => {
      for (;;) {
        try {
          return await act();
        } catch (error) {
          if (!(error instanceof DatabaseUnavailable) && !(error instanceof BlobsFailed)) throw error;
        }
      }
    };
    await again(() => markStorage(this.context, 3));
    const { changed } = await again(() => giveUpStorage(this.context, options));
    const purged = await again(() => purgeStorage(this.context));
    const refused = orphans ? await again(() => refuseOrphans(this.context, { ...options, now: Date.now() + 1_000 })) : { changed: 0 };
    return changed + purged.changed + refused.changed;
  }
}
