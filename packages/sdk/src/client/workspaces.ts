import type { Mount, Workspace as WireWorkspace, WorkspaceStopResult as WireStopResult } from "@helmr/protocol/api";
import { HelmrApiError } from "../errors.ts";
import { idOf, members } from "./body-members.ts";
import { execsApi, ptyApi } from "./execs.ts";
import { isPending } from "./pending-retry.ts";
import type { RequestOptions } from "./request-options.ts";
import { type ApiRequest, MalformedAnswerError, type Transport } from "./transport.ts";
import { filesApi, versionsApi } from "./workspace-files.ts";
import type {
  Workspace,
  WorkspaceHandle,
  WorkspaceMaterialization,
  WorkspaceStopOptions,
  WorkspaceStopResult,
  WorkspacesApi,
} from "./workspace-shapes.ts";
import { materializationView, stopView, workspaceView } from "./workspace-views.ts";

type WorkspaceAddress = string | { readonly id: string };

const pathOf = (workspace: WorkspaceAddress): string => `/workspaces/${encodeURIComponent(idOf(workspace, "a workspace"))}`;

export function workspacesApi(transport: Transport): WorkspacesApi {
  const api: WorkspacesApi = {
    create: (options) =>
      requestWorkspace(transport, {
        method: "POST",
        path: "/workspaces",
        body: members({
          sandbox_id: options.sandboxId,
          deployment_id: options.deploymentId,
          external_id: options.externalId,
          metadata: options.metadata,
          tags: options.tags,
          idempotency_key: options.idempotencyKey,
          idempotency_key_ttl: options.idempotencyKeyTTL,
        }),
        options,
      }),
    open: (workspace) => workspaceHandle(transport, api, idOf(workspace, "a workspace")),
    retrieve: (workspace, options = {}) => requestWorkspace(transport, { method: "GET", path: pathOf(workspace), options }),
    async list(options = {}) {
      const query = [
        ["state", options.state],
        ["external_id", options.externalId],
        ["tag", options.tag],
        ["limit", options.limit],
      ] as const;
      const { workspaces } = await transport.json<{ workspaces: WireWorkspace[] }>({ method: "GET", path: "/workspaces", query, options });
      return workspaces.map(workspaceView);
    },
    update: (workspace, options) => {
      const body = members({ metadata: options.metadata, tags: options.tags });
      return requestWorkspace(transport, { method: "PATCH", path: pathOf(workspace), body, options });
    },
    delete: (workspace, options = {}) => requestWorkspace(transport, { method: "DELETE", path: pathOf(workspace), options }),
    materialize: (workspace, options = {}) => mount(transport, `${pathOf(workspace)}/materialize`, options),
    connect: (workspace, options = {}) => mount(transport, `${pathOf(workspace)}/connect`, options),
    stop: (workspace, options = {}) => stop(transport, `${pathOf(workspace)}/stop`, options),
    fork: (workspace, options = {}) =>
      requestWorkspace(transport, {
        method: "POST",
        path: `${pathOf(workspace)}/fork`,
        body: members({
          version_id: options.versionId,
          external_id: options.externalId,
          metadata: options.metadata,
          tags: options.tags,
          idempotency_key: options.idempotencyKey,
          idempotency_key_ttl: options.idempotencyKeyTTL,
        }),
        options,
      }),
  };
  return Object.freeze(api);
}

async function requestWorkspace(transport: Transport, request: ApiRequest): Promise<Workspace> {
  const { workspace } = await transport.json<{ workspace: WireWorkspace }>(request);
  return workspaceView(workspace);
}

async function mount(transport: Transport, path: string, options: RequestOptions): Promise<WorkspaceMaterialization> {
  return materializationView(await transport.json<Mount>({ method: "POST", path, body: {}, options }));
}

/** A 202 says that another stop with the same key is at work; it is no result. */
async function stop(transport: Transport, path: string, options: WorkspaceStopOptions): Promise<WorkspaceStopResult> {
  const body = members({ idempotency_key: options.idempotencyKey, idempotency_key_ttl: options.idempotencyKeyTTL });
  const text = await (await transport.ok({ method: "POST", path, body, options })).text();
  if (isPending(text)) throw new HelmrApiError(202, text);
  try {
    return stopView(JSON.parse(text) as WireStopResult);
  } catch (cause) {
    throw new MalformedAnswerError(`The answer of ${path} is not JSON`, { cause });
  }
}

function workspaceHandle(transport: Transport, api: WorkspacesApi, id: string): WorkspaceHandle {
  const base = pathOf(id);
  const execs = execsApi(transport, base);
  return Object.freeze<WorkspaceHandle>({
    id,
    retrieve: (options) => api.retrieve(id, options),
    update: (options) => api.update(id, options),
    delete: (options) => api.delete(id, options),
    materialize: (options) => api.materialize(id, options),
    connect: (options) => api.connect(id, options),
    stop: (options) => api.stop(id, options),
    fork: (options) => api.fork(id, options),
    exec: (command, options) => execs.create(command, options),
    execs,
    pty: ptyApi(transport, base),
    files: filesApi(transport, base),
    versions: versionsApi(transport, base),
  });
}
