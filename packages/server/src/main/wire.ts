/** Puts the parts of a server process together from its configuration. Nothing here decides anything; processes differ in what they start of it. */
import type { AccountContext } from "../account-context.ts";
import { accountSettings } from "../account-settings.ts";
import { openFileStore } from "../blobs/fs.ts";
import { signedGrants } from "../blobs/signed-grants.ts";
import type { Config } from "../config.ts";
import { openPostgresDispatch } from "../dispatch/postgres.ts";
import { type EngineContext, type EngineHooks, noHooks } from "../engine-context.ts";
import { openTreeReader, type TreeReader } from "../files/tree-reader.ts";
import { openHints } from "../hints.ts";
import { openLive } from "../live.ts";
import { type Front, type FrontOptions, openFront } from "../http/front.ts";
import { liveFiles } from "../http/api/live-files.ts";
import { mountRoutes } from "../http/mount-routes.ts";
import { sessionRoutes } from "../http/session-routes.ts";
import { workspaceRoutes } from "../http/workspace-routes.ts";
import { loadKeyRing } from "../key-file.ts";
import { logTransport } from "../mail/log.ts";
import { openOutbox } from "../mail/outbox.ts";
import { smtpTransport } from "../mail/smtp.ts";
import { openReadiness } from "../operations/check-readiness.ts";
import { openClaimDesk } from "../operations/claim-leases.ts";
import { ensureEnrollment } from "../operations/enroll-worker.ts";
import { objectAccess } from "../operations/object-access.ts";
import { createGates } from "../operations/open-gates.ts";
import { mountHooks } from "../operations/mount-hooks.ts";
import { sessionHooks } from "../operations/session-hooks.ts";
import { accountReconcilers } from "../reconcilers/account-loops.ts";
import { engineReconcilers } from "../reconcilers/engine-loops.ts";
import { type Reconciler, type RunningLoops, startLoops } from "../reconcilers/loop.ts";
import { mountReconcilers } from "../reconcilers/mount-loops.ts";
import { sessionReconcilers } from "../reconcilers/session-loops.ts";
import { openKeys } from "../secrets.ts";
import { type DbOptions, openDb } from "../store/db.ts";
import { notifyTransport } from "../store/hint-notify.ts";
import { openLeads } from "../store/leadership.ts";
import type { Telemetry } from "../telemetry.ts";

export interface Parts {
  engine: EngineContext;
  accounts: AccountContext;
  objects: NonNullable<FrontOptions["objects"]>;
  trees: TreeReader;
  telemetry: Telemetry;
  close(): Promise<void>;
}

export interface WireOptions {
  telemetry: Telemetry;
  /** Other processes work on the same database: hints travel between them. */
  shared: boolean;
  hooks?: Partial<EngineHooks>;
  intercept?: DbOptions["intercept"];
}

export async function openParts(config: Config, { telemetry, shared, hooks, intercept }: WireOptions): Promise<Parts> {
  const keys = openKeys(await loadKeyRing(config));
  const db = openDb({
    url: config.databaseUrl,
    poolSize: config.databasePoolSize,
    onError: (error) => telemetry.emit("database_connection_lost", { error }),
    ...(intercept ? { intercept } : {}),
  });
  const hints = await openHints(shared ? notifyTransport(db) : null);
  const grants = signedGrants(keys, config.workerUrl);
  const blobs = await openFileStore(config.blobDirectory, grants);
  const dispatch = openPostgresDispatch(db, hints);
  const gates = createGates({ db, dispatch, hints });
  const outbox = openOutbox({
    transport:
      config.smtpUrl === ""
        ? logTransport((mail) => telemetry.emit("mail_logged", mail))
        : smtpTransport({ url: config.smtpUrl, from: config.mailFrom }),
    report: (event) => telemetry.emit("mail", event),
  });
  if (config.enrollmentSecret !== "") await ensureEnrollment(db, defaultGroup, config.enrollmentSecret);
  const engine: EngineContext = {
    db,
    hints,
    live: openLive(),
    keys,
    dispatch,
    blobs,
    gates,
    hooks: joinHooks(
      sessionHooks(() => engine),
      mountHooks(() => engine),
      hooks ?? {},
    ),
    mounts: { idleMs: config.mountIdleSeconds * 1_000 },
    parking: { waitLiveMs: config.waitLiveMs, timerLiveMs: config.timerLiveMs, resumeWaitMs: config.resumeWaitMs },
  };
  const trees = openTreeReader({ blobs, onThreadLost: (error) => telemetry.emit("file_thread_lost", { error }) });
  return {
    engine,
    accounts: { db, hints, keys, outbox, settings: accountSettings(config) },
    objects: objectAccess(blobs, grants),
    trees,
    telemetry,
    async close() {
      await trees.close();
      await outbox.close(mailCloseMs);
      await gates.settled();
      await hints.close();
      await db.close();
    },
  };
}

/** Every part joins where it has something to say; where one answer is needed, the last that gives one counts. */
function joinHooks(...parts: Partial<EngineHooks>[]): EngineHooks {
  const all = Object.assign({}, noHooks, ...parts) as EngineHooks;
  const readers = parts.flatMap((part) => part.readDirectives ?? []);
  return {
    ...all,
    runFinished: parts.flatMap((part) => part.runFinished ?? []),
    deploymentPromoted: parts.flatMap((part) => part.deploymentPromoted ?? []),
    readDirectives: async (context, leases) => (await Promise.all(readers.map((read) => read(context, leases)))).flat(),
  };
}

const defaultGroup = "default";
const mailCloseMs = 5_000;

export interface ServedFront extends Front {
  address: string;
}

export async function serveFront(config: Config, parts: Parts, more: FrontOptions["more"] = []): Promise<ServedFront> {
  const front = await openFront({
    engine: parts.engine,
    accounts: parts.accounts,
    desk: openClaimDesk(parts.engine),
    objects: parts.objects,
    telemetry: parts.telemetry,
    isReady: openReadiness(parts.engine.db),
    consoleDirectory: config.consoleDirectory,
    packagesDirectory: config.packagesDirectory,
    trustProxy: config.trustProxy,
    more: [
      mountRoutes(parts.engine, {
        publicUrl: config.publicUrl,
        onFault: (error) => parts.telemetry.emit("stream_failed", { error }),
      }),
      sessionRoutes(parts.engine, parts.accounts.settings),
      workspaceRoutes({ engine: parts.engine, reader: parts.trees }, liveFiles(parts.engine)),
      ...more,
    ],
  });
  const address = await front.app.listen({ host: config.host, port: config.port });
  return { ...front, address };
}

export function startDispatcher(parts: Parts, more: readonly Reconciler[] = []): RunningLoops {
  const leadership = openLeads(parts.engine.db, (loop, leads) => parts.telemetry.emit("leadership", { loop, leads }));
  return startLoops(
    [
      ...engineReconcilers(parts.engine),
      ...sessionReconcilers(parts.engine),
      ...mountReconcilers(parts.engine),
      ...accountReconcilers(parts.accounts),
      ...more,
    ],
    {
      hints: parts.engine.hints,
      leadership,
      telemetry: parts.telemetry,
    },
  );
}
