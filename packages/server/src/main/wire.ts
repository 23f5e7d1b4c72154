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
import { type Front, type FrontOptions, openFront } from "../http/front.ts";
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
import { sessionHooks } from "../operations/session-hooks.ts";
import { accountReconcilers } from "../reconcilers/account-loops.ts";
import { engineReconcilers } from "../reconcilers/engine-loops.ts";
import { type Reconciler, type RunningLoops, startLoops } from "../reconcilers/loop.ts";
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
  const gates = createGates({ db, dispatch });
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
    keys,
    dispatch,
    blobs,
    gates,
    hooks: { ...noHooks, ...sessionHooks(() => engine), ...hooks },
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
    more: [sessionRoutes(parts.engine, parts.accounts.settings), workspaceRoutes({ engine: parts.engine, reader: parts.trees }), ...more],
  });
  const address = await front.app.listen({ host: config.host, port: config.port });
  return { ...front, address };
}

export function startDispatcher(parts: Parts, more: readonly Reconciler[] = []): RunningLoops {
  const leadership = openLeads(parts.engine.db, (loop, leads) => parts.telemetry.emit("leadership", { loop, leads }));
  return startLoops(
    [...engineReconcilers(parts.engine), ...sessionReconcilers(parts.engine), ...accountReconcilers(parts.accounts), ...more],
    {
      hints: parts.engine.hints,
      leadership,
      telemetry: parts.telemetry,
    },
  );
}
