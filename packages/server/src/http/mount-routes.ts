/** Routes of mounts and of what runs in them, added to the front by `more` (http/front.ts). */
import type { EngineContext } from "../engine-context.ts";
import { addExecRoutes } from "./api/execs.ts";
import { addLiveFileRoutes } from "./api/live-files.ts";
import { addMountRoutes } from "./api/mounts.ts";
import { addPortRoutes } from "./api/ports.ts";
import { addPtyRoutes } from "./api/ptys.ts";
import type { FrontOptions } from "./front.ts";
import { addMountReportRoutes } from "./worker/mounts.ts";

export interface MountRoutes {
  /** Base of preview URLs. */
  publicUrl: string;
  onFault: (error: unknown) => void;
}

export function mountRoutes(context: EngineContext, { publicUrl, onFault }: MountRoutes): NonNullable<FrontOptions["more"]>[number] {
  return (routes, workerRoutes, app) => {
    addMountRoutes(routes, context);
    addExecRoutes(routes, context, onFault);
    addPtyRoutes(routes, context, onFault);
    addLiveFileRoutes(routes, context);
    addPortRoutes(routes, app, { context, publicUrl, onFault });
    addMountReportRoutes(workerRoutes, context);
  };
}
