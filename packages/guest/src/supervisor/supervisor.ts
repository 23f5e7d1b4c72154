/**
 * The trusted half of the guest: takes the host's requests in order and owns what they make.
 *
 *   bare ── attach ──▶ attached ⇄ parked (park.prepare / park.abort, attach resumed)
 *                         └── lease over ──▶ fenced (for good)
 *
 * One run, one build, any number of execs, files and connections, each in a file of its own. Before `attach` nothing here belongs to a
 * tenant, because this is what a template's snapshot holds. What happens to a run when its lease ends does not depend on the host.
 */
import {
  type AttachRequest,
  type BuildResult,
  type BuildStartRequest,
  guestStreams,
  type HelloMessage,
  type HostMessage,
  type ImageStepRequest,
  type ImageStepResult,
} from "@helmr/protocol/guest";
import { guestProtocolVersion } from "@helmr/protocol/shared";
import { Attachment, type GuestPlaces } from "./attachment.ts";
import type { ControlGroups } from "./control-group.ts";
import { Deadline } from "./deadline.ts";
import { FileRequests } from "./file-requests.ts";
import { type GuestTool, GuestToolError } from "./guest-tool.ts";
import { HostLink, RequestError } from "./host-link.ts";
import type { IncomingStream } from "./incoming-stream.ts";
import type { OutgoingStream } from "./outgoing-stream.ts";
import { Parking } from "./parking.ts";
import { PortConnections } from "./port-connections.ts";
import { ProcessTable } from "./process-table.ts";
import { RunSession } from "./run-session.ts";
import { warmUp } from "./warm-up.ts";

export interface BuildGround {
  tool: GuestTool;
  groups: ControlGroups;
  attachment: Attachment;
  source: IncomingStream;
  log: OutgoingStream;
  phase(phase: "unpacking" | "configuring" | "installing" | "compiling" | "indexing" | "finishing", message: string): void;
}

/** build/main.ts; loaded only in a build guest. */
export type Builder = (request: BuildStartRequest, ground: BuildGround) => Promise<BuildResult>;

export interface StepGround extends Omit<BuildGround, "source" | "phase"> {
  /** What a copy brings. */
  source: IncomingStream | undefined;
}
export type ImageStepper = (request: ImageStepRequest, ground: StepGround) => Promise<ImageStepResult>;

export interface SupervisorOptions {
  version: string;
  bootId: string;
  tool: GuestTool;
  groups: ControlGroups;
  /** Control group that holds everything of the tenant, for freezing; undefined where there is none (tests). */
  tenantGroup: string | undefined;
  places: GuestPlaces;
  loadBuilder(): Promise<{ build: Builder; imageStep: ImageStepper }>;
}

type Message<Type extends HostMessage["type"]> = Extract<HostMessage, { type: Type }>;

export class Supervisor {
  readonly link: HostLink;
  private readonly options: SupervisorOptions;
  private readonly processes: ProcessTable;
  private readonly files: FileRequests;
  private readonly ports: PortConnections;
  private readonly lease = new Deadline(() => this.fence());
  private attachment: Attachment | undefined;
  private run: RunSession | undefined;
  private building = false;
  private readonly parking: Parking;
  private fenced = false;
  /** Requests in order: each begins when the one before has been answered. */
  private queue: Promise<void> = Promise.resolve();

  constructor(options: SupervisorOptions) {
    this.options = options;
    this.link = new HostLink({
      hello: () => this.hello(),
      repeat: () => this.repeat(),
      message: (message) => this.receive(message),
    });
    const ground = { link: this.link, tool: options.tool, groups: options.groups };
    this.processes = new ProcessTable(ground);
    this.parking = new Parking({ link: this.link, tool: options.tool, tenantGroup: options.tenantGroup });
    this.files = new FileRequests(this.link);
    this.ports = new PortConnections(this.link);
  }

  private hello(): HelloMessage {
    const { run } = this;
    return {
      type: "hello",
      protocol: guestProtocolVersion,
      supervisor: this.options.version,
      bootId: this.options.bootId,
      state: {
        attached: this.attachment !== undefined,
        fenced: this.fenced,
        parked: this.parking.isParked,
        run: run === undefined ? null : { attemptId: run.attemptId, status: run.status },
        building: this.building,
        processes: this.processes.list(),
      },
    };
  }

  private repeat(): void {
    if (this.fenced) this.link.send({ type: "fenced" });
    this.run?.repeat();
    this.processes.repeat();
  }

  private receive(message: HostMessage): void {
    this.openStreams(message);
    switch (message.type) {
      case "lease.extend":
        if (!this.fenced && this.attachment !== undefined) this.lease.extend(message.leaseMs);
        return;
      case "program.answer":
        this.run?.answer(message);
        return;
      case "process.forget":
        this.processes.forget(message.processId);
        return;
      case "ping":
        this.link.send({ type: "ok", id: message.id });
        return;
      // A cancel never waits behind other requests.
      case "run.cancel":
        void this.link.answer(message.id, this.cancel(message));
        return;
      case "thaw":
        // A request before it may be waiting for what stands still.
        if (this.parking.isHolding) void this.link.answer(message.id, this.parking.release());
        else this.enqueue(() => this.answer(message, this.handle(message)));
        return;
      case "file":
      case "port.open":
      case "build.start":
      case "image.step":
        this.enqueue(() => {
          void this.answer(message, this.handleLong(message));
        });
        return;
      case "stream.ack":
      case "stream.end":
      case "stream.stop":
        return;
      case "park.prepare":
        this.enqueue(async () => {
          await this.link.answer(message.id, this.park());
          this.parking.holdWhileParked();
        });
        return;
      default:
        this.enqueue(() => this.answer(message, this.handle(message)));
    }
  }

  /** A request that is refused takes its input with it. */
  private async answer(message: HostMessage & { id: number }, work: Promise<unknown>): Promise<void> {
    await this.link.answer(message.id, work);
    const stream = inputOf(message);
    const refused = await work.then(
      () => false,
      () => true,
    );
    if (stream !== undefined && refused) this.link.takeIncoming(stream)?.discard();
  }

  private enqueue(work: () => Promise<void> | void): void {
    this.queue = this.queue.then(work);
  }

  /** Streams exist before the request behind them gets its turn, so that no byte is lost. */
  private openStreams(message: HostMessage): void {
    const stream = inputOf(message);
    if (stream !== undefined) this.link.openIncoming(stream);
  }

  private async handle(
    message: Message<
      "attach" | "rehearse" | "usage" | "run.start" | "sync" | "thaw" | "park.abort" | "process.start" | "process.signal" | "process.resize"
    >,
  ): Promise<unknown> {
    if (message.type === "attach") return this.attach(message);
    if (message.type === "rehearse") return this.rehearse();
    if (message.type === "usage") return this.attachment?.usage(this.options.groups) ?? {};
    const attachment = this.usable();
    switch (message.type) {
      case "run.start":
        return this.startRun(message, attachment);
      case "sync":
        return this.parking.sync(message, attachment);
      case "thaw":
        return this.options.tool.thaw(attachment.fileSystems);
      case "park.abort":
        return this.parking.abort(attachment);
      case "process.start":
        this.refuseWhileParked();
        return this.processes.start(message, attachment);
      case "process.signal":
        return this.processes.signal(message.processId, message.signal);
      case "process.resize":
        return this.processes.resize(message.processId, message);
      default:
        return unknownRequest(message);
    }
  }

  private async handleLong(message: Message<"file" | "port.open" | "build.start" | "image.step">): Promise<unknown> {
    const attachment = this.usable();
    this.refuseWhileParked();
    switch (message.type) {
      case "file":
        return this.files.handle(message.operation, attachment);
      case "port.open":
        return this.ports.connect(message);
      case "build.start":
        return this.build(message, attachment);
      case "image.step":
        return this.imageStep(message, attachment);
      default:
        return unknownRequest(message);
    }
  }

  private usable(): Attachment {
    if (this.fenced) throw new RequestError("fenced", "The lease of this machine has ended");
    if (this.attachment === undefined) throw new RequestError("not_attached", "The first request must be attach");
    return this.attachment;
  }

  private refuseWhileParked(): void {
    if (this.parking.isParked)
      throw new RequestError("parked", "The machine is prepared for parking; send park.abort first", { retryable: true });
  }

  private async attach(request: AttachRequest): Promise<{ totalMs: number; toolMs: number }> {
    const readAtNs = process.hrtime.bigint();
    if (this.fenced) throw new RequestError("fenced", "The lease of this machine has ended");
    if (request.resumed ? this.attachment === undefined : this.attachment !== undefined) {
      throw new RequestError(
        "bad_request",
        request.resumed ? "Nothing was attached that could be resumed" : "This machine is attached already",
      );
    }
    const attachment = this.attachment ?? new Attachment(request, this.options.places);
    try {
      await this.callTool(request, attachment, readAtNs);
    } catch (error) {
      if (!(error instanceof GuestToolError)) throw error;
      throw new RequestError("attach_failed", error.message, { cause: error });
    }
    const toolMs = Number(process.hrtime.bigint() - readAtNs) / 1e6;
    this.attachment = attachment;
    this.lease.extend(request.leaseMs);
    if (request.resumed) {
      this.parking.thawed();
      this.link.repeatAll();
    } else if (request.extraCa !== undefined) attachment.trustCertificates(request.extraCa);
    return { toolMs, totalMs: Number(process.hrtime.bigint() - readAtNs) / 1e6 };
  }

  private callTool(request: AttachRequest, attachment: Attachment, readAtNs: bigint): Promise<void> {
    const { tool, places, tenantGroup } = this.options;
    const { disks } = request;
    return tool.attach({
      unixUs: request.clock.unixUs,
      readAtNs,
      entropy: Buffer.from(request.clock.entropy, "base64"),
      hostname: request.hostname,
      network: request.network.enabled,
      machine:
        disks === undefined
          ? { kind: "resumed", thaw: attachment.fileSystems, thawGroup: tenantGroup }
          : {
              kind: "starting",
              disks: {
                scratch: disks.scratch === "memory" ? "tmpfs" : places.devices.scratch,
                ...(disks.workspace === null
                  ? {}
                  : { workspace: { device: places.devices.workspace, path: disks.workspace.path, owner: attachment.user } }),
                ...(disks.task ? { task: places.devices.task } : {}),
                ...(disks.caches === undefined ? {} : { caches: cacheDevices(disks.caches, places) }),
              },
            },
    });
  }

  private async rehearse(): Promise<void> {
    if (this.attachment !== undefined) throw new RequestError("bad_request", "This machine is attached: there is nothing to rehearse");
    await this.options.tool.rehearse();
    await warmUp();
  }

  private async startRun(request: Message<"run.start">, attachment: Attachment): Promise<void> {
    this.refuseWhileParked();
    if (this.run?.status === "running" || this.building) throw new RequestError("busy", "A run or a build is under way in this machine");
    const run = new RunSession({ ...this.options, link: this.link, attachment }, request);
    this.run = run;
    await run.start();
  }

  private async cancel(request: Message<"run.cancel">): Promise<void> {
    const attachment = this.usable();
    const { run } = this;
    if (run === undefined || run.status === "ended") throw new RequestError("not_running", "No run is under way");
    await this.parking.abort(attachment);
    run.cancel(request);
  }

  private async park(): Promise<void> {
    const attachment = this.usable();
    if (this.building) throw new RequestError("busy", "A build cannot be parked");
    await this.parking.prepare(attachment);
  }

  private async build(request: BuildStartRequest, attachment: Attachment): Promise<BuildResult> {
    const source = this.link.takeIncoming(request.sourceStream);
    if (source === undefined) throw new RequestError("bad_request", `Stream ${request.sourceStream} is not open`);
    if (this.building || this.run?.status === "running") throw new RequestError("busy", "A run or a build is under way in this machine");
    this.building = true;
    const log = this.link.openOutgoing(guestStreams.buildLog);
    try {
      const { build } = await this.options.loadBuilder();
      const { tool, groups } = this.options;
      return await build(request, {
        tool,
        groups,
        attachment,
        source,
        log,
        phase: (phase, message) => this.link.send({ type: "build.phase", phase, message }),
      });
    } finally {
      log.end();
      this.building = false;
    }
  }

  /** One in the life of a machine. */
  private async imageStep(request: ImageStepRequest, attachment: Attachment): Promise<ImageStepResult> {
    if (!attachment.isImageStep) throw new RequestError("bad_request", "A step of an image needs the image's disk at / (slot workspace)");
    if (this.building) throw new RequestError("busy", "A step or a build is under way in this machine");
    this.building = true;
    const stream = "stream" in request.step ? request.step.stream : undefined;
    const log = this.link.openOutgoing(guestStreams.buildLog);
    try {
      const { imageStep } = await this.options.loadBuilder();
      const { tool, groups } = this.options;
      const source = stream === undefined ? undefined : this.link.takeIncoming(stream);
      return await imageStep(request, { tool, groups, attachment, source, log });
    } finally {
      log.end();
      this.building = false;
    }
  }

  private fence(): void {
    if (this.fenced) return;
    this.fenced = true;
    this.run?.fence();
    this.processes.fence();
    this.ports.closeAll();
    if (this.attachment !== undefined) {
      void this.parking.abort(this.attachment).catch(() => {
        // Killed processes die frozen as well; only the machine's end is left.
      });
    }
    this.link.send({ type: "fenced" });
  }
}

function cacheDevices(paths: readonly string[], places: GuestPlaces): { device: string; path: string }[] {
  return paths.flatMap((path, index) => {
    const device = places.devices.caches[index];
    return device === undefined ? [] : [{ device, path }];
  });
}

/** The host → guest stream of a request. */
function inputOf(message: HostMessage): number | undefined {
  switch (message.type) {
    case "process.start":
      return message.streams.stdin;
    case "port.open":
      return message.input;
    case "build.start":
      return message.sourceStream;
    case "image.step":
      return "stream" in message.step ? message.step.stream : undefined;
    case "file":
      return message.operation.kind === "write" || message.operation.kind === "upload" ? message.operation.stream : undefined;
    default:
      return undefined;
  }
}

/** A host of a later release may know more than this one. */
function unknownRequest(message: never): never {
  throw new RequestError("bad_request", `This supervisor knows no request ${JSON.stringify((message as { type?: unknown }).type)}`);
}
