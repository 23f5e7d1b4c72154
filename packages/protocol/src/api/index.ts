/** The public API. How schemas, types and tables are named is at the top of `endpoint.ts`. */
import { apiKeyEndpoints } from "./api-keys.ts";
import { authEndpoints } from "./auth.ts";
import { deploymentEndpoints, sandboxEndpoints, taskEndpoints } from "./deployments.ts";
import type { Endpoint } from "./endpoint.ts";
import { execEndpoints } from "./execs.ts";
import { fileEndpoints } from "./files.ts";
import { invitationEndpoints, memberEndpoints } from "./members.ts";
import { environmentEndpoints, projectEndpoints } from "./projects.ts";
import { ptyEndpoints } from "./ptys.ts";
import { publicAccessTokenEndpoints } from "./public-access-tokens.ts";
import { runEndpoints } from "./runs.ts";
import { scheduleEndpoints } from "./schedules.ts";
import { secretEndpoints } from "./secrets.ts";
import { sessionEndpoints } from "./sessions.ts";
import { streamEndpoints } from "./streams.ts";
import { tokenEndpoints } from "./tokens.ts";
import { versionEndpoints, workspaceEndpoints } from "./workspaces.ts";

export * from "./api-keys.ts";
export * from "./auth.ts";
export * from "./byte-streams.ts";
export * from "./deployments.ts";
export * from "./endpoint.ts";
export * from "./execs.ts";
export { type AuthFlowErrorBody, type ErrorBody, authFlowErrorBody, authFlowErrorKinds, errorBody } from "./fields.ts";
export * from "./files.ts";
export * from "./members.ts";
export * from "./paths.ts";
export * from "./projects.ts";
export * from "./ptys.ts";
export * from "./public-access-tokens.ts";
export * from "./runs.ts";
export * from "./schedules.ts";
export * from "./secrets.ts";
export * from "./sessions.ts";
export * from "./sse.ts";
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
  publicAccessTokens: publicAccessTokenEndpoints,
  tokens: tokenEndpoints,
  schedules: scheduleEndpoints,
  deployments: deploymentEndpoints,
  secrets: secretEndpoints,
  workspaces: workspaceEndpoints,
  files: fileEndpoints,
  versions: versionEndpoints,
  execs: execEndpoints,
  ptys: ptyEndpoints,
  auth: authEndpoints,
  projects: projectEndpoints,
  environments: environmentEndpoints,
  apiKeys: apiKeyEndpoints,
  members: memberEndpoints,
  invitations: invitationEndpoints,
};

export const apiEndpointList: readonly Endpoint[] = Object.values(apiEndpoints).flatMap((resource): Endpoint[] => Object.values(resource));
