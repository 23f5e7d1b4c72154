/**
 * One run: the program of one attempt, from its secrets to its last byte.
 *
 *   preparing ──▶ running ──▶ leaving ──▶ ended
 *      │             │          ▲
 *      └─────────────┴──────────┘   stopped (cancel, time, lease), ended by itself, killed by the kernel
 *
 * preparing: secrets are placed. running: the program's process exists. leaving: it has said its last word or must go; its group is killed,
 * its output read to the end. ended: `run.ended` was said and is said again after every hello; nothing of the tenant is left in the group.
 * Knows no lease and no disk: `fence` and the attachment tell it what it needs.
 */
import { guestStreams, type ProgramAnswer, type RunEnded, type RunStartRequest } from "@helmr/protocol/guest";
import type { ProgramEnd, StartMessage } from "../program/pipe.ts";
import { type Attachment, sourceDirectory } from "./attachment.ts";
import { ActiveClock, Deadline } from "./deadline.ts";
import type { HostLink } from "./host-link.ts";
import { guestLimits } from "./limits.ts";
import type { OutgoingStream } from "./outgoing-stream.ts";
import { ProgramLink } from "./program-link.ts";
import { judgeRun, type RunFacts, type StartProblem, type StopCause } from "./run-end.ts";
import { PlacedSecrets } from "./secrets.ts";
import { type ProcessGround, TenantProcess } from "./tenant-process.ts";

export interface RunGround extends ProcessGround {
  link: HostLink;
  attachment: Attachment;
}

const runGroup = "run";
/** Of the memory that the tenant may use; the rest is for buffers, native code and child processes. */
const heapShare = 0.75;

export class RunSession {
  readonly attemptId: string;
  private readonly ground: RunGround;
  private readonly request: RunStartRequest;
  private readonly requestedAt = performance.now();
  private readonly stdout: OutgoingStream;
  private readonly stderr: OutgoingStream;
  private readonly logger: OutgoingStream;
  private readonly clock: ActiveClock;
  /** Runs while the task may still react to its aborted signal, or while the program flushes after its last word. */
  private readonly patience = new Deadline(() => this.process?.kill());
  private secrets: PlacedSecrets | undefined;
  private process: TenantProcess | undefined;
  private program: ProgramLink | undefined;
  private stop: StopCause | undefined;
  private end: ProgramEnd | undefined;
  private violation: string | undefined;
  private heapLimitBytes: number | undefined;
  private spawnedMs = 0;
  private report: RunEnded | undefined;

  constructor(ground: RunGround, request: RunStartRequest) {
    this.ground = ground;
    this.request = request;
    this.attemptId = request.run.attemptId;
    this.stdout = ground.link.openOutgoing(guestStreams.stdout);
    this.stderr = ground.link.openOutgoing(guestStreams.stderr);
    this.logger = ground.link.openOutgoing(guestStreams.logger);
    this.clock = new ActiveClock(request.activeMs, () => this.halt("timeout"));
  }

  get status(): "running" | "ended" {
    return this.report === undefined ? "running" : "ended";
  }

  /** Resolves once the program is being started (or cannot be); the run's end comes as `run.ended`. */
  async start(): Promise<void> {
    let problem: StartProblem | undefined;
    try {
      problem = await this.prepare();
    } catch (error) {
      problem = { kind: "internal", text: error instanceof Error ? error.message : String(error) };
    }
    void this.conclude(problem);
  }

  cancel(options: { force: boolean; reason: string; graceMs: number }): void {
    if (this.report !== undefined) return;
    if (options.force || this.program === undefined) {
      this.halt("cancelled");
      return;
    }
    this.stop ??= "cancelled";
    this.program.send({ type: "cancel", reason: options.reason });
    this.patience.extend(options.graceMs);
  }

  /** The lease is over. */
  fence(): void {
    this.halt("lease_expired");
  }

  answer(answer: ProgramAnswer): void {
    this.program?.answer(answer);
  }

  /** What a new host, or one behind a restored machine, must hear again. */
  repeat(): void {
    if (this.report !== undefined) this.tellEnd(this.report);
    else this.program?.repeatCalls();
  }

  /** Places the secrets and starts the program. */
  private async prepare(): Promise<StartProblem | undefined> {
    const { attachment, tool } = this.ground;
    const { secrets } = this.request;
    const files = secrets.some((secret) => !("env" in secret));
    this.secrets = new PlacedSecrets({
      tool,
      root: attachment.root,
      accounts: files ? attachment.accounts() : { passwd: "", group: "" },
      user: attachment.user,
      workspacePath: attachment.workspacePath ?? "/",
    });
    const placed = await this.secrets.place(secrets);
    if (!placed.ok) return { kind: "secrets", text: placed.problem };
    if (this.stop === undefined) this.launch(placed.environment);
    return undefined;
  }

  private halt(cause: StopCause): void {
    if (this.report !== undefined) return;
    this.stop ??= cause;
    this.process?.kill();
  }

  private launch(secretEnvironment: Record<string, string>): void {
    const { attachment } = this.ground;
    const environment = attachment.environment(secretEnvironment);
    const process = new TenantProcess(this.ground, {
      group: runGroup,
      user: attachment.user,
      cwd: attachment.workspacePath ?? "/",
      environment,
      command: ["node", ...this.nodeOptions(environment), attachment.places.programFile],
      network: true,
      stdin: false,
      pipes: true,
      stdout: this.stdout,
      stderr: this.stderr,
    });
    this.process = process;
    void process.started.then(() => {
      this.spawnedMs = performance.now() - this.requestedAt;
    });
    this.clock.start();
    if (process.pipeIn === undefined || process.pipeOut === undefined) return;
    this.program = new ProgramLink(process.pipeIn, process.pipeOut, {
      link: this.ground.link,
      logger: this.logger,
      attemptId: this.attemptId,
      onStarted: (facts) => this.tellStarted(facts),
      onEnded: (end) => this.takeEnd(end),
      onViolation: (problem) => {
        this.violation = problem;
        process.kill();
      },
      onWaits: (change) => (change === "opened" ? this.clock.waitOpened() : this.clock.waitClosed()),
    });
    this.program.send(this.startMessage());
  }

  /** The engine's own default is a quarter of the machine, which surprises whoever asked for more memory. */
  private nodeOptions(environment: Record<string, string>): string[] {
    const memoryMax = this.ground.groups.memoryMax();
    if (memoryMax === undefined || environment["NODE_OPTIONS"]?.includes("max-old-space-size") === true) return [];
    const heapMib = Math.floor((memoryMax * heapShare) / 1_048_576);
    this.heapLimitBytes = heapMib * 1_048_576;
    return [`--max-old-space-size=${heapMib}`];
  }

  private startMessage(): StartMessage {
    const { run, module, exportName, payload } = this.request;
    const { places, workspacePath } = this.ground.attachment;
    return {
      type: "start",
      run: { id: run.id, attemptId: run.attemptId, attemptNumber: run.attemptNumber, runLeaseId: run.leaseId },
      task: { id: run.taskId },
      session: { id: run.sessionId },
      workspace: { path: workspacePath ?? "/", projectPath: `${places.taskTree}/${sourceDirectory}` },
      module: `${places.taskTree}/${module}`,
      exportName,
      payload: payload ?? null,
    };
  }

  private tellStarted(facts: { node: string; bootMs: number; loadMs: number }): void {
    const loadedMs = performance.now() - this.requestedAt;
    this.ground.link.send({
      type: "run.started",
      attemptId: this.attemptId,
      nodeVersion: facts.node,
      spawnedMs: this.spawnedMs,
      bootedMs: Math.max(0, loadedMs - (facts.loadMs - facts.bootMs)),
      loadedMs,
    });
  }

  private takeEnd(end: ProgramEnd): void {
    this.end ??= end;
    this.patience.extend(guestLimits.programExitMs);
  }

  private async conclude(problem: StartProblem | undefined): Promise<void> {
    const { process, program } = this;
    const exit = await process?.exited;
    this.clock.stop();
    this.patience.clear();
    const remains = await process?.gone;
    // What the program had said is still in its pipe.
    if (remains?.clean === true) await program?.closed;
    program?.close();
    await this.secrets?.remove();
    this.finish({
      stop: this.stop,
      problem,
      exit,
      end: this.end,
      violation: this.violation,
      oomKills: remains?.memory.oomKills ?? 0,
      memoryPeakBytes: remains?.memory.peakBytes,
      heapLimitBytes: this.heapLimitBytes,
      diskFull: this.ground.attachment.diskFull,
    });
  }

  private finish(facts: RunFacts): void {
    const { attachment, groups } = this.ground;
    for (const stream of [this.stdout, this.stderr, this.logger]) stream.end();
    this.report = {
      type: "run.ended",
      attemptId: this.attemptId,
      ...judgeRun(facts),
      activeMs: this.clock.activeMs,
      streams: { stdout: this.stdout.length, stderr: this.stderr.length, logger: this.logger.length },
      usage: attachment.usage(groups),
    };
    this.tellEnd(this.report);
  }

  /** Behind the last byte and the ends of its streams. */
  private tellEnd(report: RunEnded): void {
    this.stdout.onFlushed(() => this.stderr.onFlushed(() => this.logger.onFlushed(() => this.ground.link.send(report))));
  }
}
