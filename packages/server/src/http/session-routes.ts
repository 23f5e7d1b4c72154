/** Routes of streams, public access, tokens and schedules, and the one of program calls: added to the front by `more` (http/front.ts). */
import { streamEndpoints, tokenEndpoints } from "@helmr/protocol/api";
import type { EngineContext } from "../engine-context.ts";
import { addPublicAccessTokenRoutes } from "./api/public-access-tokens.ts";
import { addScheduleRoutes } from "./api/schedules.ts";
import { addStreamRoutes } from "./api/streams.ts";
import { addTokenRoutes } from "./api/tokens.ts";
import { allowCrossOrigin } from "./cors.ts";
import type { FrontOptions } from "./front.ts";
import { addCallRoute } from "./worker/calls.ts";
import { addCheckpointRoutes } from "./worker/checkpoints.ts";

export interface SessionRoutes {
  /** Base of callback URLs. */
  publicUrl: string;
  /** Origins that may call the public routes (http §5.4). */
  corsOrigins: ReadonlySet<string>;
}

export function sessionRoutes(
  context: EngineContext,
  { publicUrl, corsOrigins }: SessionRoutes,
): NonNullable<FrontOptions["more"]>[number] {
  return (routes, workerRoutes, app) => {
    addStreamRoutes(routes, context);
    addPublicAccessTokenRoutes(routes, context);
    addTokenRoutes(routes, context, { publicUrl });
    addScheduleRoutes(routes, context);
    addCallRoute(workerRoutes, context, { publicUrl });
    addCheckpointRoutes(workerRoutes, context);
    allowCrossOrigin(
      app,
      [streamEndpoints.publicAppendInput, streamEndpoints.publicReadOutput, tokenEndpoints.publicComplete],
      corsOrigins,
    );
  };
}
