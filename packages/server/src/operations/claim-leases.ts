/**
 * Workers wait here for work (steps 3 and 4 of the data flow). A claim names its worker's free capacity and what it has warm; it is answered with leases, or
 * with nothing after its time. One desk per process: when runs become ready, the desk takes candidates from the dispatch index, gives them to the waiting
 * workers (domain/queue.ts) and grants each worker its share in one transaction. PostgreSQL decides who really gets a run: another process's desk may
 * have been faster, then the rest is looked for again.
 *
 *   claim ──▶ redeliver what an earlier answer lost ──▶ look ──▶ answered
 *                                                        │ nothing: wait for a hint, look again ──▶ time is up: empty answer
 *
 * It holds no truth: a claim that is cut off mid-way leaves held leases, which the worker's next claim gets again because it does not name them.
 */
import type { ClaimRequest, Lease } from "@helmr/protocol/worker";
import { limits } from "@helmr/protocol/shared";
import { assign, type Candidate, type OpenWorker } from "../domain/queue.ts";
import { engineLimits } from "../limits.ts";
import { leaseUndelivered, type WorkerSubject } from "../store/lease.ts";
import { mountRunWaiting } from "../store/mount-run.ts";
import { workerSeen } from "../store/worker.ts";
import type { EngineContext } from "../engine-context.ts";
import { grantBuildLeases, grantRunLeases } from "./grant-leases.ts";
import { grantMountLeases } from "./grant-mount-leases.ts";
import { grantRunsInMounts } from "./grant-runs-in-mounts.ts";
import { readLeases } from "./read-leases.ts";
import { type Stale, stale, type WorkerActor } from "../worker-actor.ts";

export interface ClaimDesk {
  /** `signal` aborts when the worker hung up: nothing is granted to it any more. */
  claim(worker: WorkerActor, request: ClaimRequest, signal: AbortSignal): Promise<Lease[] | Stale>;
  close(): void;
}

interface Waiting {
  worker: WorkerActor;
  request: ClaimRequest;
  open: OpenWorker;
  /** Called once, with what the worker got. Taken out of the line before. */
  answer(leases: Lease[]): void;
  fail(error: unknown): void;
  /** Its time was over, or its worker hung up, while it was out of the line. */
  givenUp: boolean;
}

/** Everything one group's claims share. */
interface Line {
  waiting: Set<Waiting>;
  /** A look is under way; `again`: something happened since it began. */
  looking: boolean;
  again: boolean;
  unsubscribe: () => void;
  timer: NodeJS.Timeout;
}

const leastWaitMs = 50;

export function openClaimDesk(context: EngineContext): ClaimDesk {
  const lines = new Map<string, Line>();

  function lineOf(group: string): Line {
    const known = lines.get(group);
    if (known) return known;
    const line: Line = {
      waiting: new Set(),
      looking: false,
      again: false,
      unsubscribe: context.dispatch.onReady(group, () => void look(group, line)),
      // A hint can be lost; a waiting claim looks by itself now and then.
      timer: setInterval(() => line.waiting.size > 0 && void look(group, line), engineLimits.claimLookAnywayMs).unref(),
    };
    lines.set(group, line);
    return line;
  }

  async function look(group: string, line: Line): Promise<void> {
    line.again = true;
    if (line.looking) return;
    line.looking = true;
    let contended = 0;
    try {
      while (line.again && line.waiting.size > 0) {
        line.again = false;
        const round = await serve(context, group, line);
        contended = round === "contended" ? contended + 1 : 0;
        if (round === "granted" || (contended > 0 && contended <= contendedRoundsMax)) line.again = true;
      }
    } catch (error) {
      for (const claim of take(line, [...line.waiting])) claim.fail(error);
    } finally {
      line.looking = false;
    }
  }

  async function claim(worker: WorkerActor, request: ClaimRequest, signal: AbortSignal): Promise<Lease[] | Stale> {
    const subject = { workerId: worker.workerId, epoch: request.epoch };
    const seen = await workerSeen(context.db, worker.workerId, request.epoch);
    if (!seen) return stale;
    if (request.held) {
      const lost = await leaseUndelivered(context.db, subject, request.held);
      if (lost.length > 0) return readLeases(context, lost);
    }
    if (seen.state !== "active" || signal.aborted) return [];
    const line = lineOf(worker.group);
    const answered = enter(line, { worker, request, restores: seen.restores, signal });
    void look(worker.group, line);
    return answered;
  }

  return {
    claim,
    close() {
      for (const line of lines.values()) {
        line.unsubscribe();
        clearInterval(line.timer);
        for (const waiting of take(line, [...line.waiting])) waiting.answer([]);
      }
      lines.clear();
    },
  };
}

/** Into the line, until it is answered, its time is up or its worker hangs up. */
function enter(
  line: Line,
  { worker, request, restores, signal }: { worker: WorkerActor; request: ClaimRequest; restores: string; signal: AbortSignal },
): Promise<Lease[]> {
  return new Promise<Lease[]>((resolve, reject) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", giveUp);
    };
    const waiting: Waiting = {
      worker,
      request,
      open: openWorker(worker, request, restores),
      givenUp: false,
      answer: (leases) => (end(), resolve(leases)),
      fail: (error) => (end(), reject(error)),
    };
    const giveUp = () => {
      waiting.givenUp = true;
      if (line.waiting.delete(waiting)) waiting.answer([]);
    };
    // One look at least, however little the worker wants to wait.
    const timer = setTimeout(giveUp, Math.max(request.wait_ms, leastWaitMs));
    signal.addEventListener("abort", giveUp);
    line.waiting.add(waiting);
  });
}

/** There was nothing for it after all: it waits on, unless it has stopped waiting meanwhile. */
function putBack(line: Line, claim: Waiting): void {
  if (claim.givenUp) claim.answer([]);
  else line.waiting.add(claim);
}

/** Out of the line: from here on they are answered by whoever took them. */
function take(line: Line, claims: Waiting[]): Waiting[] {
  return claims.filter((claim) => line.waiting.delete(claim));
}

function openWorker(worker: WorkerActor, request: ClaimRequest, restores: string): OpenWorker {
  const { free, warm } = request;
  return {
    id: worker.workerId,
    restores,
    free: {
      milliCpu: free.milli_cpu,
      memoryMib: free.memory_mib,
      diskMib: free.disk_mib,
      slots: Math.min(free.slots, engineLimits.grantBatchMax),
    },
    warm: { images: new Set(warm.images), workspaces: new Set(warm.workspaces), checkpoints: new Set(warm.checkpoints) },
  };
}

/** Other processes may take what was proposed here; after so many rounds without a grant this one waits for the next hint. */
const contendedRoundsMax = 5;

/** `granted`: more may be there. `contended`: somebody else was faster, or what was proposed could not be had after all. */
type Round = "granted" | "contended" | "nothing";

async function serve(context: EngineContext, group: string, line: Line): Promise<Round> {
  const builders = [...line.waiting].filter((claim) => claim.request.kinds.includes("build") && claim.open.free.slots > 0);
  let granted = false;
  for (const builder of builders) granted = (await serveBuild(context, line, builder)) || granted;
  // Somebody waits at a terminal.
  const mounters = [...line.waiting].filter((claim) => claim.request.kinds.includes("mount") && claim.open.free.slots > 0);
  for (const mounter of mounters) granted = (await serveMount(context, line, mounter)) || granted;
  granted = (await serveInMounts(context, line, group)) || granted;
  const runners = [...line.waiting].filter((claim) => claim.request.kinds.includes("run") && claim.open.free.slots > 0);
  if (runners.length === 0) return granted ? "granted" : "nothing";
  const slots = runners.reduce((sum, claim) => sum + claim.open.free.slots, 0);
  const candidates = await context.dispatch.propose({
    group,
    free: runners.map((claim) => claim.open.free),
    restores: runners.map((claim) => claim.open.restores),
    limit: Math.min(slots, engineLimits.candidatesPage),
  });
  const present = runners.filter((claim) => line.waiting.has(claim));
  // Two claims of one worker would share its capacity: each is an offer of its own, so the key is the claim.
  const offers = new Map(present.map((claim, index) => [String(index), claim]));
  const shares = assign(
    candidates,
    [...offers].map(([id, claim]) => ({ ...claim.open, id })),
  );
  const results = await Promise.all([...shares].map(([id, share]) => serveRuns(context, line, offers.get(id) as Waiting, share)));
  if (granted || results.some(Boolean)) return "granted";
  return results.length > 0 ? "contended" : "nothing";
}

type Granted = WorkerSubject & { group: string };

/** Takes the claim out of the line and answers it with what it is granted; with nothing (somebody else was faster) it waits on. */
async function answerWith(line: Line, claim: Waiting, grant: (worker: Granted) => Promise<Lease[]>): Promise<boolean> {
  if (!line.waiting.delete(claim)) return false;
  try {
    const granted = await grant({ workerId: claim.worker.workerId, epoch: claim.request.epoch, group: claim.worker.group });
    if (granted.length === 0) {
      putBack(line, claim);
      return false;
    }
    claim.answer(granted);
    return true;
  } catch (error) {
    claim.fail(error);
    return false;
  }
}

function serveRuns(context: EngineContext, line: Line, claim: Waiting, share: Candidate[]): Promise<boolean> {
  const runIds = share.map((candidate) => candidate.runId);
  return answerWith(line, claim, (worker) => grantRunLeases(context, worker, runIds, limits.leaseTtlMs));
}

function serveMount(context: EngineContext, line: Line, claim: Waiting): Promise<boolean> {
  return answerWith(line, claim, (worker) => grantMountLeases(context, worker, claim.open.free));
}

/** Runs for the machines of live mounts go to who holds them; such a claim may have nothing free. */
async function serveInMounts(context: EngineContext, line: Line, group: string): Promise<boolean> {
  const holders = [...line.waiting].filter((claim) => claim.request.kinds.includes("run") && (claim.request.held?.length ?? 0) > 0);
  if (holders.length === 0) return false;
  const workerIds = [...new Set(holders.map((claim) => claim.worker.workerId))];
  const waiting = await mountRunWaiting(context.db, group, workerIds, engineLimits.grantBatchMax);
  let granted = false;
  for (const workerId of new Set(waiting.map((row) => row.worker_id))) {
    const claim = holders.find((one) => one.worker.workerId === workerId);
    const runIds = waiting.filter((row) => row.worker_id === workerId).map((row) => row.run_id);
    if (claim) granted = (await answerWith(line, claim, (worker) => grantRunsInMounts(context, worker, runIds))) || granted;
  }
  return granted;
}

async function serveBuild(context: EngineContext, line: Line, claim: Waiting): Promise<boolean> {
  const { milliCpu, memoryMib, diskMib } = engineLimits.buildNeeds;
  const { free } = claim.open;
  if (free.milliCpu < milliCpu || free.memoryMib < memoryMib || free.diskMib < diskMib) return false;
  return answerWith(line, claim, (worker) => grantBuildLeases(context, worker, 1));
}
