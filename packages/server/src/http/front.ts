/**
 * Everything the control plane answers, put together from its parts: health, accounts, the engine's API, the worker API, blobs, packages, the console.
 * Other parts of the product add their routes through `more`, before other methods are refused.
 */
import websocket from "@fastify/websocket";
import type { FastifyInstance } from "fastify";
import type { AccountContext } from "../account-context.ts";
import type { EngineContext } from "../engine-context.ts";
import type { ClaimDesk } from "../operations/claim-leases.ts";
import type { ObjectAccess } from "../operations/object-access.ts";
import type { Telemetry } from "../telemetry.ts";
import { addAccountRoutes } from "./api/accounts.ts";
import { addDeploymentRoutes } from "./api/deployments.ts";
import { addRunRoutes } from "./api/runs.ts";
import { addSessionRoutes } from "./api/sessions.ts";
import { addWorkspaceRoutes } from "./api/workspaces.ts";
import { createApp, refuseOtherMethods } from "./app.ts";
import { openAuthenticator } from "./auth/authenticate.ts";
import { openConsole } from "./console.ts";
import { addHealthRoutes } from "./health.ts";
import { addOpenApiRoute } from "./openapi.ts";
import { addPackageRoutes } from "./packages.ts";
import { createRoutes, type Routes } from "./route.ts";
import { addBlobRoutes } from "./worker/blobs.ts";
import { addBuildRoutes } from "./worker/builds.ts";
import { addChannel } from "./worker/channel.ts";
import { addLeaseRoutes } from "./worker/leases.ts";
import { addRunReportRoutes } from "./worker/runs.ts";
import { createWorkerRoutes, type WorkerRoutes } from "./worker/worker-route.ts";

export interface FrontOptions {
  engine: EngineContext;
  accounts: AccountContext;
  desk: ClaimDesk;
  /** Absent when the blob store answers its grants itself. */
  objects: ObjectAccess | undefined;
  telemetry: Telemetry;
  isReady: () => Promise<boolean>;
  consoleDirectory: string;
  packagesDirectory: string;
  trustProxy: boolean;
  /** Routes of other parts: streams, tokens, schedules, execs, files. */
  more?: ((routes: Routes, workerRoutes: WorkerRoutes, app: FastifyInstance) => void)[];
}

export interface Front {
  app: FastifyInstance;
  /** Ids of the API endpoints that are implemented. */
  implemented: ReadonlySet<string>;
  close(): Promise<void>;
}

export async function openFront(options: FrontOptions): Promise<Front> {
  const { engine, accounts, desk, telemetry } = options;
  const console = await openConsole(options.consoleDirectory);
  const app = createApp({
    onFault: (error, request) => telemetry.emit("request_failed", { ...request, error }),
    trustProxy: options.trustProxy,
    console,
  });
  const onFault = (error: unknown) => telemetry.emit("stream_failed", { error });
  await app.register(websocket, { options: { maxPayload: 1024 * 1024 } });
  addHealthRoutes(app, options.isReady);
  addOpenApiRoute(app);
  await addPackageRoutes(app, options.packagesDirectory);

  const authenticator = openAuthenticator(accounts);
  const routes = createRoutes(app, authenticator);
  addAccountRoutes(routes, accounts);
  addSessionRoutes(routes, engine);
  addRunRoutes(routes, engine, onFault);
  addDeploymentRoutes(routes, engine, onFault);
  addWorkspaceRoutes(routes, engine);

  const workerRoutes = createWorkerRoutes(app, engine);
  addLeaseRoutes(app, workerRoutes, engine, desk);
  addRunReportRoutes(workerRoutes, engine);
  addBuildRoutes(app, workerRoutes, engine);
  addChannel(app, workerRoutes, engine, onFault);
  if (options.objects) addBlobRoutes(app, options.objects);
  for (const add of options.more ?? []) add(routes, workerRoutes, app);
  refuseOtherMethods(app, routes.registered);
  refuseOtherMethods(app, workerRoutes.registered);
  await app.ready();
  return {
    app,
    implemented: routes.implemented,
    async close() {
      desk.close();
      await app.close();
      authenticator.close();
    },
  };
}
