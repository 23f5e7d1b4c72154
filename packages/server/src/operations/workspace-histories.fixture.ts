/**
 * Random histories of workspaces over the server's own operations, against a model that knows each version's files: runs, mounts, runs in mounts, execs, writes,
 * captures, parks, restores, forks, deletions, lost leases, retention and collection. Between the steps, and inside them, things go wrong: a statement fails
 * before or after it took effect and the call is repeated as its caller repeats it; the blob store fails; the collection runs beside a commit; a holder whose
 * lease was lost goes on talking.
 *
 * After each step the chain of every workspace is the model's, and every file of the versions it touched reads byte for byte; test/invariants.sql holds at
 * random moments. After a collection the blob store holds what kept versions need, and nothing else. To replay a history: its seed is in the name of the test.
 */
import { randomUUID } from "node:crypto";
import { sessionStartBody } from "@helmr/protocol/api";
import type { RunLease, WorkspaceResult } from "@helmr/protocol/worker";
import { until } from "@helmr/test/services";
import { assert, Bug, required, unreachable } from "../assert.ts";
import { isRefusal, type Refusal } from "../outcome.ts";
import type { Reconciler } from "../reconcilers/loop.ts";
import { mountReconcilers } from "../reconcilers/mount-loops.ts";
import { wakeWaits } from "../reconcilers/wake-waits.ts";
import { isStale } from "../worker-actor.ts";
import { answerProgramCall } from "./answer-program-call.ts";
import { commitCapture } from "./commit-capture.ts";
import { completeAttempt } from "./complete-attempt.ts";
import { completeToken } from "./complete-token.ts";
import { createToken } from "./create-token.ts";
import { createWorkspace } from "./create-workspace.ts";
import { deleteWorkspace } from "./delete-workspace.ts";
import { endMount, readyMount } from "./end-mount.ts";
import { failed, succeeded } from "./engine.fixture.ts";
import { forkWorkspace } from "./fork-workspace.ts";
import { grantMountLeases } from "./grant-mount-leases.ts";
import { grantRunsInMounts } from "./grant-runs-in-mounts.ts";
import { HistoryCalls, openParts, type Parts } from "./history-calls.fixture.ts";
import { expectCode, granted, HistoryChecks, type Holder, type ModelVersion, type ModelWorkspace } from "./history-checks.fixture.ts";
import { type Choices, choices, emptyTree } from "./history-trees.fixture.ts";
import { loseLease } from "./lose-lease.ts";
import { materializeWorkspace } from "./materialize-workspace.ts";
import { parkRequest } from "./park-run.fixture.ts";
import { parkRun } from "./park-run.ts";
import { readChunks } from "./read-execs.ts";
import { renewLeases } from "./renew-leases.ts";
import { reportExec } from "./report-exec.ts";
import { restoreVersion } from "./restore-version.ts";
import { resumeRun } from "./resume-run.ts";
import { removeDeletedWorkspaces, retireVersions } from "./retire-versions.ts";
import { newExec, startExec } from "./start-exec.ts";
import { stopWorkspace } from "./stop-workspace.ts";

const holdersMax = 4;
const nowhere = "01980a00-0000-7000-8000-000000000001";
const plenty = { milliCpu: 64_000, memoryMib: 1_000_000, diskMib: 10_000_000 };
const rules = { versionsKeptMs: 0, failedVersionsKeptMs: 0, versionsKeptMin: 2 };

export class WorkspaceHistory extends HistoryCalls {
  /** What ran beside a run is over with it: the loop is told, and says so. */
  private readonly settleExecs: Reconciler;
  readonly done = new Set<string>();
  private readonly workspaces: ModelWorkspace[] = [];
  private readonly checks: HistoryChecks;

  private constructor(choose: Choices, parts: Parts) {
    super(choose, parts);
    this.checks = new HistoryChecks({ ...parts, choose, workspaces: this.workspaces });
    this.settleExecs = required(
      mountReconcilers(parts.engine.context).find(({ name }) => name === "settle-execs"),
      "Execs are settled by a loop",
    );
  }

  static async open(seed: number): Promise<WorkspaceHistory> {
    const choose = choices(seed);
    return new WorkspaceHistory(choose, await openParts(choose));
  }

  /** So many steps, then everything that is left; what was done is told with what goes wrong. Returns how many versions are left. */
  async play(steps: number): Promise<number> {
    try {
      for (let step = 0; step < steps; step += 1) this.done.add(await this.step());
      return await this.expectAll();
    } catch (cause) {
      throw new Bug(`${cause instanceof Error ? cause.message : String(cause)}\nafter ${this.told.slice(-40).join("\n")}`, { cause });
    }
  }

  private async step(): Promise<string> {
    const act = this.workspaces.length === 0 ? "create" : this.choose.of(Object.keys(this.acts) as (keyof typeof this.acts)[]);
    this.told.push(act);
    const touched = await this.acts[act]();
    await this.renew();
    await this.settleExecs.run();
    await this.checks.chains();
    if (this.choose.once(4)) await this.checks.invariants();
    if (touched) for (const version of touched.versions) await this.checks.version(touched, version);
    const some = this.readable();
    if (some.length > 0) {
      const workspace = this.choose.of(some);
      await this.checks.version(workspace, this.choose.of(workspace.versions));
      await this.checks.diff(workspace);
    }
    return act;
  }

  private readonly acts = {
    create: () => this.create(),
    run: () => this.on(this.free(), (workspace) => this.run(workspace)),
    runInMount: () => this.on(this.mounted(), (workspace) => this.runInMount(workspace)),
    leave: () =>
      this.on(
        this.held().filter(({ holder }) => holder?.guest),
        (workspace) => this.leave(workspace),
      ),
    capture: () => this.on(this.held(), (workspace) => this.capture(workspace)),
    mount: () => this.on(this.free(), (workspace) => this.mount(workspace)),
    exec: () =>
      this.on(
        this.workspaces.filter((workspace) => (workspace.holder ? !workspace.holder.stopping : this.isFree(workspace))),
        (workspace) => this.exec(workspace),
      ),
    write: () => this.on(this.held(), (workspace) => this.write(workspace)),
    writeMore: () => this.on(this.held(), (workspace) => this.write(workspace)),
    end: () => this.on(this.held(), (workspace) => this.end(workspace)),
    endAnother: () => this.on(this.held(), (workspace) => this.end(workspace)),
    lose: () => (this.choose.once(2) ? this.on(this.held(), (workspace) => this.lose(workspace)) : Promise.resolve(undefined)),
    park: () => this.on(this.held(), (workspace) => this.park(workspace)),
    resume: () => this.on(this.parkedOnes(), (workspace) => this.resume(workspace)),
    restore: () => this.on(this.active(), (workspace) => this.restore(workspace)),
    fork: () => this.on(this.readable(), (workspace) => this.fork(workspace)),
    remove: () => (this.active().length > 2 ? this.on(this.active(), (workspace) => this.remove(workspace)) : Promise.resolve(undefined)),
    retire: () => this.retire(),
    collect: () => this.collect(),
  };

  private async on(some: ModelWorkspace[], act: (workspace: ModelWorkspace) => Promise<void>): Promise<ModelWorkspace | undefined> {
    if (some.length === 0) return undefined;
    const workspace = this.choose.of(some);
    await act(workspace);
    return workspace.state === "deleted" ? undefined : workspace;
  }

  private readonly active = () => this.workspaces.filter(({ state }) => state === "active");
  private readonly readable = () => this.workspaces.filter(({ state }) => state !== "deleted");
  private readonly held = () => this.workspaces.filter(({ holder }) => holder !== undefined);
  private readonly mounted = () =>
    this.held().filter(({ state, holder }) => state === "active" && holder?.on.kind === "mount" && !holder.stopping && !holder.guest);
  private readonly parkedOnes = () => this.workspaces.filter(({ parked, holder }) => parked !== undefined && holder === undefined);
  private readonly isFree = ({ state, holder }: ModelWorkspace) =>
    state === "active" && holder === undefined && this.held().length < holdersMax;
  private readonly free = () => this.workspaces.filter(this.isFree);

  private known(id: string, first: Omit<ModelVersion, "parent">): ModelWorkspace {
    const version = { ...first, parent: null };
    const workspace: ModelWorkspace = { id, versions: [version], head: version, state: "active", holder: undefined, parked: undefined };
    this.workspaces.push(workspace);
    return workspace;
  }

  private advance(workspace: ModelWorkspace, version: Omit<ModelVersion, "parent">): void {
    workspace.head = { ...version, parent: workspace.head.id };
    workspace.versions.push(workspace.head);
  }

  private async create(): Promise<ModelWorkspace> {
    const body = { sandbox_id: "box", metadata: {}, tags: [], idempotency_key: this.key() };
    const { workspace } = granted(await this.firmly(() => createWorkspace(this.context, this.parts.engine.scope, body)));
    const id = required(workspace.current_version_id, "A new workspace has a version");
    return this.known(workspace.id, { id, kind: "system", tree: emptyTree, artifact: undefined, gone: false });
  }

  private async run(workspace: ModelWorkspace): Promise<void> {
    const body = { workspace_id: workspace.id, idempotency_key: this.key() };
    const { run } = await this.start(sessionStartBody.parse({ task_id: "hello", ...body }));
    const lease = await this.lease(workspace, run.id);
    await this.begin(workspace, required(lease, `The run is leased: ${run.id}`));
  }

  private async runInMount(workspace: ModelWorkspace): Promise<void> {
    const { engine, worker } = this.parts;
    const holder = required(workspace.holder, "Somebody has the workspace");
    const { run } = await this.start(sessionStartBody.parse({ task_id: "hello", workspace_id: workspace.id, idempotency_key: this.key() }));
    await engine.context.gates.admitWorkspace(workspace.id);
    const [lease] = await grantRunsInMounts(this.context, worker, [run.id]);
    assert(lease?.kind === "run" && lease.in_mount !== null, "The run gets the machine that is there");
    assert(
      lease.workspace.base?.artifact_id === holder.base.artifact?.artifact_id,
      "A run in a machine begins with what that is compared with",
    );
    holder.guest = engine.call(worker, lease);
    await this.begun(holder.guest);
  }

  /** The run in a mount ends: its tree is committed, and the mount goes on from there. Or its lease is lost, and what it wrote is still in the machine. */
  private async leave(workspace: ModelWorkspace): Promise<void> {
    const holder = required(workspace.holder, "Somebody has the workspace");
    const call = required(holder.guest, "A run is in the machine");
    holder.guest = undefined;
    const guest = { ...holder, on: { kind: "run", call } } as const;
    if (this.choose.once(5)) {
      await this.firmly(() => loseLease(this.context, { id: call.leaseId, kind: "run" }, "fenced"));
      await this.expectStale(workspace, guest);
      holder.stopping = true;
    } else {
      const { answer, result } = await this.stored(holder, this.ending(workspace, guest));
      assert(!isStale(answer), "Who holds a run ends it");
      this.commit(workspace, holder, result);
    }
    await this.settle(call.runId);
  }

  private async capture(workspace: ModelWorkspace): Promise<void> {
    const holder = required(workspace.holder, "Somebody has the workspace");
    if (holder.tree === holder.base.tree || workspace.state !== "active" || holder.stopping) return;
    const { leaseId, fence } = holder.on.call;
    const call = { worker: this.parts.worker, mountId: holder.mountId, leaseId, fence };
    const { answer, result } = await this.stored(holder, (tree) => {
      assert(tree.status === "captured", "There is something to capture");
      const { version_id: versionId, artifact, size_bytes: sizeBytes, entry_count: entryCount } = tree;
      return commitCapture(this.context, call, { versionId, artifact, sizeBytes, entryCount, message: null });
    });
    assert(!isStale(answer) && answer.state === "captured", `The capture is taken: ${JSON.stringify(answer)}`);
    this.commit(workspace, holder, result, "user");
  }

  /** What follows a commit does not happen when its answer is lost: the reconciler place-runs looks at every gate. */
  private async lease(workspace: ModelWorkspace, runId: string): Promise<RunLease | undefined> {
    const { engine, worker } = this.parts;
    await engine.context.gates.admitWorkspace(workspace.id);
    return (await engine.lease(worker, [runId]))[0];
  }

  private async begin(workspace: ModelWorkspace, lease: RunLease): Promise<void> {
    const { engine, worker } = this.parts;
    const call = engine.call(worker, lease);
    this.expectBase(workspace, lease.workspace.base?.artifact_id);
    if (lease.checkpoint) await this.firmly(() => resumeRun(this.context, call, required(lease.checkpoint, "a checkpoint").checkpoint_id));
    else await this.begun(call);
    this.taken(workspace, lease.workspace.mount_id, { kind: "run", call });
  }

  private expectBase(workspace: ModelWorkspace, artifactId: string | undefined): void {
    assert(artifactId === workspace.head.artifact?.artifact_id, `A machine of ${workspace.id} gets ${artifactId}, which is not the head`);
  }

  private async mount(workspace: ModelWorkspace): Promise<void> {
    granted(await this.firmly(() => materializeWorkspace(this.context, this.environmentId, workspace.id)));
    await this.claim(workspace);
  }

  private async claim(workspace: ModelWorkspace): Promise<void> {
    const { worker } = this.parts;
    const [lease] = await grantMountLeases(this.context, worker, plenty);
    assert(lease?.kind === "mount" && lease.workspace.workspace_id === workspace.id, "The mount is granted");
    this.expectBase(workspace, lease.workspace.base?.artifact_id);
    const call = { worker, mountId: lease.workspace.mount_id, leaseId: lease.lease_id, fence: lease.fence };
    const ready = await this.firmly(() => readyMount(this.context, call));
    assert(!isStale(ready), "The mount is ready");
    this.taken(workspace, call.mountId, { kind: "mount", call });
  }

  private taken(workspace: ModelWorkspace, mountId: string, on: Holder["on"]): void {
    workspace.holder = { base: workspace.head, tree: workspace.head.tree, mountId, on, guest: undefined };
  }

  /** A command that writes files; sometimes it is still there when its machine goes. */
  private async exec(workspace: ModelWorkspace): Promise<void> {
    const { worker } = this.parts;
    if (workspace.state !== "active") return;
    const wanted = newExec(this.environmentId, workspace.id, { command: ["write"], detached: false, idempotency_key: this.key() });
    const { exec } = granted(await this.firmly(() => startExec(this.context, wanted)));
    if (workspace.holder === undefined) await this.claim(workspace);
    const holder = required(workspace.holder, "Somebody has the workspace");
    const { leaseId, fence } = holder.on.call;
    const say = (report: Parameters<typeof reportExec>[2]["report"]) =>
      this.firmly(() => reportExec(this.context, worker, { lease_id: leaseId, fence, exec_id: exec.id, report }));
    assert((await say({ kind: "started", process_id: "7" })).state === "ok", "The exec is started");
    let out = "";
    for (let left = this.choose.below(4); left > 0; left -= 1) {
      // Some of it was said before, as after a lost answer.
      const from = Math.max(0, out.length - this.choose.below(20));
      const fresh = `${this.key()} `.repeat(1 + this.choose.below(200));
      const data = Buffer.from(out.slice(from) + fresh).toString("base64");
      const answer = await say({ kind: "output", stream: "stdout", offset: from, data });
      out += fresh;
      assert(answer.state === "ok" && answer.offset === out.length, `The output is taken: ${JSON.stringify(answer)}`);
    }
    holder.tree = this.parts.editor.edited(holder.tree);
    if (!this.choose.once(4)) {
      const ended = await say({ kind: "ended", exit_code: 0, signal: null, reason: "exited", stdout: out.length, stderr: 0 });
      assert(ended.state === "ok", "The exec ends");
    }
    const page = granted(await readChunks(this.context, { execId: exec.id, name: "stdout" }, { cursor: 0, limit: 1_000 }));
    const read = Buffer.concat(page.chunks.map(({ data }) => data)).toString();
    assert(read === out, `The exec wrote ${out.length} bytes and ${read.length} were read`);
  }

  private write(workspace: ModelWorkspace): Promise<void> {
    const holder = required(workspace.holder, "Somebody has the workspace");
    holder.tree = this.parts.editor.edited(holder.tree);
    return Promise.resolve();
  }

  private async captured(holder: Holder): Promise<WorkspaceResult> {
    if (holder.tree === holder.base.tree) return { status: "unchanged" };
    this.failBlobs("put");
    const artifact = await this.parts.chunks.stored(required(holder.tree.image, "What was written to has an image"));
    return { status: "captured", version_id: randomUUID(), artifact, size_bytes: 1, entry_count: holder.tree.files.size };
  }

  /** The tree is stored, and told; again when the collection took what it pointed to. Now and then the collection decides at the same moment. */
  private async stored<T>(
    holder: Holder,
    act: (workspace: WorkspaceResult) => Promise<T | Refusal>,
  ): Promise<{ answer: T; result: WorkspaceResult }> {
    for (let tries = 0; tries < 6; tries += 1) {
      const result = await this.captured(holder);
      const beside = this.choose.once(3) && tries < 4 ? this.collectOnce({ graceMs: 0, orphans: this.choose.once(2) }) : undefined;
      const [answer] = await Promise.all([this.firmly(() => act(result)), beside]);
      if (!isRefusal(answer)) return { answer, result };
      assert(answer.status === 400 && answer.message.includes("no longer kept"), `Refused: ${JSON.stringify(answer)}`);
      this.told.push(`  ${answer.message}`);
      this.parts.chunks.forget();
    }
    return unreachable("the collection takes every upload");
  }

  private commit(workspace: ModelWorkspace, holder: Holder, result: WorkspaceResult, kind: ModelVersion["kind"] = "system"): void {
    if (result.status !== "captured") return;
    assert(holder.base === workspace.head, "Nobody moves the head under a machine");
    const { artifact, version_id: id } = result;
    this.advance(workspace, { id, kind, tree: holder.tree, artifact, gone: false });
    holder.base = workspace.head;
  }

  private async end(workspace: ModelWorkspace): Promise<void> {
    const holder = required(workspace.holder, "Somebody has the workspace");
    if (holder.guest) await this.leave(workspace);
    if (holder.on.kind === "mount" && this.choose.once(2))
      granted(await this.firmly(() => stopWorkspace(this.context, { environmentId: this.environmentId, id: workspace.id, body: {} })));
    const { answer, result } = await this.stored(holder, this.ending(workspace, holder));
    assert(!isStale(answer), "Who holds the workspace ends it");
    this.commit(workspace, holder, result);
    workspace.holder = undefined;
    if (holder.on.kind === "run") await this.settle(holder.on.call.runId);
    if (workspace.state === "deleting") await this.remove(workspace);
  }

  private ending(workspace: ModelWorkspace, { on }: Holder): (tree: WorkspaceResult) => Promise<object> {
    if (on.kind === "mount") return (tree) => endMount(this.context, on.call, { end: { status: "unmounted" }, workspace: tree });
    const cancelled = { status: "cancelled", forced: false } as const;
    const end = workspace.state === "deleting" ? cancelled : this.choose.once(4) ? failed : succeeded;
    return (tree) => completeAttempt(this.context, on.call, { end, activeMs: 1, reportThrough: 0, workspace: tree });
  }

  /** The lease is taken away. Its holder does not know, stores its tree and says so: nothing changes. */
  private async lose(workspace: ModelWorkspace): Promise<void> {
    const holder = required(workspace.holder, "Somebody has the workspace");
    const { kind, call } = holder.on;
    await this.firmly(() => loseLease(this.context, { id: call.leaseId, kind }, "fenced"));
    workspace.holder = undefined;
    const { guest } = holder;
    if (guest) await this.keepAside(workspace, { ...holder, on: { kind: "run", call: guest } });
    const run = holder.on.kind === "run" ? holder.on.call : guest;
    if (run) await this.settle(run.runId);
    await this.expectStale(workspace, holder);
    if (workspace.state === "deleting") await this.remove(workspace);
  }

  /** A run whose machine was lost is still held: what it says is kept, but is not the head. */
  private async keepAside(workspace: ModelWorkspace, holder: Holder): Promise<void> {
    const { answer, result } = await this.stored(holder, this.ending(workspace, holder));
    assert(!isStale(answer), "Who holds a run ends it");
    if (result.status !== "captured") return;
    const { version_id: id, artifact } = result;
    workspace.versions.push({ id, parent: null, kind: "system", tree: holder.tree, artifact, failed: true, gone: false });
  }

  private async expectStale(workspace: ModelWorkspace, holder: Holder): Promise<void> {
    const late = await this.ending(workspace, holder)(await this.captured(holder));
    assert(isStale(late), `A holder without a lease is heard: ${JSON.stringify(late)}`);
  }

  private async park(workspace: ModelWorkspace): Promise<void> {
    const holder = required(workspace.holder, "Somebody has the workspace");
    if (holder.on.kind !== "run" || workspace.state !== "active" || workspace.parked) return;
    const { call } = holder.on;
    const { environmentId } = this;
    const created = await createToken(this.context, {
      environmentId,
      timeoutMs: 600_000,
      tags: [],
      metadata: {},
      idempotencyKey: this.key(),
    });
    const { token } = granted(created);
    const wait = { kind: "wait", on: { kind: "token", token_id: token.id }, parkable: true } as const;
    const answer = await this.firmly(() => answerProgramCall(this.context, call, { callId: 1 + this.count, call: wait }));
    assert(!isStale(answer) && answer.state === "waiting", `The wait is open: ${JSON.stringify(answer)}`);
    const request = parkRequest(this.parts.engine.scope.orgId, answer.waitId);
    const parked = await this.stored(holder, (tree) => parkRun(this.context, call, { ...request, workspace: tree }));
    if ("state" in parked.answer && parked.answer.state === "refused") {
      this.told.push(`  ${parked.answer.reason}`);
      return;
    }
    assert("state" in parked.answer && parked.answer.state === "parked", `The run is parked: ${JSON.stringify(parked.answer)}`);
    this.commit(workspace, holder, parked.result);
    workspace.holder = undefined;
    workspace.parked = {
      base: workspace.head,
      tree: holder.tree,
      runId: call.runId,
      tokenId: token.id,
      checkpointId: request.checkpointId,
    };
  }

  private async resume(workspace: ModelWorkspace): Promise<void> {
    const parked = required(workspace.parked, "A run is parked");
    if (workspace.state !== "active") return;
    const { environmentId } = this;
    const completed = () => completeToken(this.context, { environmentId, tokenId: parked.tokenId, data: 1, byPublicToken: false });
    granted(await this.firmly(completed));
    // Waits that were not looked at when their token was completed are the loop's.
    await wakeWaits(this.context).run();
    await this.parts.engine.context.gates.settled();
    workspace.parked = undefined;
    const lease = await this.lease(workspace, parked.runId);
    if (parked.base === workspace.head) {
      return this.begin(workspace, required(lease, "The run comes back to the tree it left"));
    }
    assert(lease === undefined, "A run does not come back to another tree");
    return this.settle(parked.runId);
  }

  private async restore(workspace: ModelWorkspace): Promise<void> {
    const source = this.choose.of(workspace.versions);
    const { head } = workspace;
    const expected = this.choose.once(6) ? nowhere : head.id;
    const body = { version_id: source.id, expected_version_id: expected };
    const restored = await this.firmly(() => restoreVersion(this.context, { environmentId: this.environmentId, id: workspace.id }, body));
    if (source.gone) return expectCode(restored, "workspace_version_not_ready");
    const same = source.artifact?.digest === head.artifact?.digest;
    if (!same && expected !== head.id) return expectCode(restored, "workspace_head_moved");
    if (!same && workspace.holder) return expectCode(restored, "workspace_mount_active");
    const { version, unchanged } = granted(restored);
    if (same) assert(unchanged && version.id === head.id, "What is the head already stays it");
    else this.advance(workspace, { ...source, id: version.id, kind: "user", failed: false });
  }

  /** Now and then retention wants the same version at the same moment: one of the two has it. */
  private async fork(workspace: ModelWorkspace): Promise<void> {
    const source = this.choose.of(workspace.versions);
    const body = { version_id: source.id, metadata: {}, tags: [], idempotency_key: this.key() };
    const fork = this.firmly(() => forkWorkspace(this.context, { environmentId: this.environmentId, id: workspace.id }, body));
    const [forked] = await Promise.all([fork, this.choose.once(3) ? this.retire() : undefined]);
    if (isRefusal(forked)) {
      expectCode(forked, "workspace_version_not_ready");
      assert(source.gone, "A version that is kept can be forked");
      return;
    }
    const id = required(forked.workspace.current_version_id, "A fork has a version");
    this.known(forked.workspace.id, { ...source, id, kind: "system", failed: false, gone: false });
  }

  private async remove(workspace: ModelWorkspace): Promise<void> {
    const force = workspace.state === "deleting" || this.choose.once(2);
    const removed = await this.firmly(() => deleteWorkspace(this.context, { environmentId: this.environmentId, id: workspace.id, force }));
    if (!force && (workspace.holder || workspace.parked)) return expectCode(removed, "workspace_mount_active");
    const { pending } = granted(removed);
    workspace.parked = undefined;
    // A run that is cancelled by force loses its machine at once; a mount is asked to capture and to go.
    const { holder } = workspace;
    if (holder?.guest) {
      await this.expectStale(workspace, { ...holder, on: { kind: "run", call: holder.guest } });
      holder.guest = undefined;
    } else if (holder?.on.kind === "run") {
      workspace.holder = undefined;
      await this.expectStale(workspace, holder);
    }
    assert(
      pending === (workspace.holder !== undefined),
      `A workspace is deleted once its machine is gone: ${JSON.stringify({ pending, holder: workspace.holder?.on.kind ?? "none", state: workspace.state })}`,
    );
    workspace.state = pending ? "deleting" : "archived";
    if (pending || this.choose.once(2)) return;
    await this.firmly(() => removeDeletedWorkspaces(this.context, { keptMs: 0 }));
    for (const each of this.workspaces) if (each.state === "archived") each.state = "deleted";
  }

  private async retire(): Promise<undefined> {
    await this.firmly(() => retireVersions(this.context, rules, 3));
    for (const { versions, head, holder, parked, state } of this.workspaces) {
      if (state === "deleted") continue;
      const ready = versions.filter(({ gone, failed: aside }) => !gone && !aside);
      for (const version of [...ready.slice(0, -rules.versionsKeptMin), ...versions.filter(({ failed: aside }) => aside)]) {
        const needed = version === head || version === holder?.base || version === parked?.base;
        if (version.kind === "system" && version.artifact && !needed) version.gone = true;
      }
    }
    return undefined;
  }

  private async collect(): Promise<undefined> {
    // What was given up before is purged by any pass.
    await this.collectOnce({});
    const before = await this.checks.objects();
    await this.collectOnce({});
    assert((await this.checks.objects()).size === before.size, "Within its grace nothing is collected");
    // What a pass gave up and could not delete, or what the backend of a connection that was cut still holds, is left to a later one.
    let left: string[] = [];
    const pass = async () => {
      this.failBlobs("delete", "list");
      await this.firmly(() => this.collectOnce({ graceMs: 0, orphans: true }));
      left = await this.checks.leftOver();
      return left.length === 0;
    };
    await until("nothing is left over", pass, 20_000).catch((cause: unknown) => {
      throw new Bug(`${cause instanceof Error ? cause.message : String(cause)}; left over: ${left.join(", ")}`, { cause });
    });
    return undefined;
  }

  private async renew(): Promise<void> {
    const { worker } = this.parts;
    const calls = this.held().flatMap(({ holder }) => [holder?.on.call ?? [], holder?.guest ?? []].flat());
    const leases = calls.map(({ leaseId, fence }) => ({ leaseId, fence, activeMs: null, openCalls: [] }));
    const renewed = await renewLeases(this.context, worker, { epoch: worker.epoch, leases });
    assert(!isStale(renewed) && renewed.stale.length === 0, `A lease was lost: ${JSON.stringify(renewed)}`);
  }

  /** Everything that is left, and that nothing but that is left. */
  private async expectAll(): Promise<number> {
    await this.collect();
    await this.checks.chains();
    await this.checks.invariants();
    let count = 0;
    for (const workspace of this.readable()) {
      for (const version of workspace.versions) await this.checks.version(workspace, version);
      count += workspace.versions.length;
    }
    return count;
  }
}
