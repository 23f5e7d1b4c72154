/** The public API. How schemas, types and tables are named is at the top of `endpoint.ts`. */
import { deploymentEndpoints, sandboxEndpoints, taskEndpoints } from "./deployments.ts";
import type { Endpoint } from "./endpoint.ts";
import { runEndpoints } from "./runs.ts";
import { secretEndpoints } from "./secrets.ts";
import { sessionEndpoints } from "./sessions.ts";
import { streamEndpoints } from "./streams.ts";
import { tokenEndpoints } from "./tokens.ts";
import { versionEndpoints, workspaceEndpoints } from "./workspaces.ts";

export * from "./deployments.ts";
export * from "./endpoint.ts";
export { type AuthFlowErrorBody, type ErrorBody, authFlowErrorBody, authFlowErrorKinds, errorBody } from "./fields.ts";
export * from "./paths.ts";
export * from "./runs.ts";
export * from "./secrets.ts";
export * from "./sessions.ts";
export * from "./streams.ts";
export * from "./tokens.ts";
export * from "./workspaces.ts";

/** Every endpoint, by resource and verb. */
export const apiEndpoints = {
  tasks: taskEndpoints,
  sandboxes: sandboxEndpoints,
  sessions: sessionEndpoints,
  streams: streamEndpoints,
  runs: runEndpoints,
  tokens: tokenEndpoints,
  deployments: deploymentEndpoints,
  secrets: secretEndpoints,
  workspaces: workspaceEndpoints,
  versions: versionEndpoints,
};

export const apiEndpointList: readonly Endpoint[] = Object.values(apiEndpoints).flatMap((resource): Endpoint[] => Object.values(resource));
