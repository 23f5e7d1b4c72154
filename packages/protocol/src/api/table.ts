/** Every endpoint of the public API. */
import { apiKeyEndpoints } from "./api-keys.ts";
import { authEndpoints } from "./auth.ts";
import { deploymentEndpoints, sandboxEndpoints, taskEndpoints } from "./deployments.ts";
import type { Endpoint } from "./endpoint.ts";
import { execEndpoints } from "./execs.ts";
import { fileEndpoints } from "./files.ts";
import { liveFileEndpoints } from "./live-files.ts";
import { invitationEndpoints, memberEndpoints } from "./members.ts";
import { portEndpoints } from "./ports.ts";
import { environmentEndpoints, projectEndpoints } from "./projects.ts";
import { ptyEndpoints } from "./ptys.ts";
import { publicAccessTokenEndpoints } from "./public-access-tokens.ts";
import { runEndpoints } from "./runs.ts";
import { scheduleEndpoints } from "./schedules.ts";
import { secretEndpoints } from "./secrets.ts";
import { sessionEndpoints } from "./sessions.ts";
import { streamEndpoints } from "./streams.ts";
import { tokenEndpoints } from "./tokens.ts";
import { versionChangeEndpoints, workspaceForkEndpoints } from "./version-changes.ts";
import { versionEndpoints, workspaceEndpoints } from "./workspaces.ts";

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
  workspaces: { ...workspaceEndpoints, ...workspaceForkEndpoints },
  files: { ...fileEndpoints, ...liveFileEndpoints },
  ports: portEndpoints,
  versions: { ...versionEndpoints, ...versionChangeEndpoints },
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
