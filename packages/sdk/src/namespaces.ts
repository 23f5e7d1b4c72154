/**
 * The namespaces of the default client (sdk §1.1). `tokens` and `schedules` have members of their own: inside a task `tokens.create` and
 * `tokens.wait` are the task's; the rest always uses the default client, which then needs HELMR_API_URL there.
 */
import {
  scheduledTask,
  type ScheduledTaskConfig,
  type ScheduledTaskPayload,
  type ScheduledTaskPayloadInput,
} from "./authoring/scheduled-task.ts";
import type { Task } from "./authoring/task.ts";
import type { AuthApi } from "./client/auth.ts";
import { defaultClient, lazyNamespace } from "./client/helmr-client.ts";
import type { RunsApi } from "./client/run-shapes.ts";
import type { SchedulesApi } from "./client/schedule-shapes.ts";
import type { SessionsApi } from "./client/session-shapes.ts";
import type { TokensApi } from "./client/token-shapes.ts";
import type { WorkspacesApi } from "./client/workspace-shapes.ts";
import { isTaskRunning } from "./running/port.ts";
import { createToken, waitForToken, waitable } from "./running/task-tokens.ts";

export const sessions: SessionsApi = lazyNamespace<SessionsApi>((client) => client.sessions);
export const runs: RunsApi = lazyNamespace<RunsApi>((client) => client.runs);
export const workspaces: WorkspacesApi = lazyNamespace<WorkspacesApi>((client) => client.workspaces);
export const auth: AuthApi = lazyNamespace<AuthApi>((client) => client.auth);

export const schedules: SchedulesApi & {
  /** A task that a schedule starts; with `cron` the schedule comes with it. */
  task<O>(config: ScheduledTaskConfig<O>): Task<ScheduledTaskPayload, Awaited<O>, ScheduledTaskPayloadInput>;
} = lazyNamespace<SchedulesApi & { task: typeof scheduledTask }>((client) => client.schedules, { task: scheduledTask });

const localTokens: TokensApi = {
  create: async (options = {}) => (isTaskRunning() ? await createToken(options) : waitable(await defaultClient().tokens.create(options))),
  wait: waitForToken,
  retrieve: async (token, options) => waitable(await defaultClient().tokens.retrieve(token, options)),
  async listPage(options) {
    const { tokens: page, nextCursor } = await defaultClient().tokens.listPage(options);
    return { tokens: page.map(waitable), nextCursor };
  },
  list: async (options) => (await defaultClient().tokens.list(options)).map(waitable),
  async complete(token, data, options) {
    const { status, token: completed } = await defaultClient().tokens.complete(token, data, options);
    return { status, token: waitable(completed) };
  },
  cancel: async (token, options) => waitable(await defaultClient().tokens.cancel(token, options)),
};

export const tokens: TokensApi = lazyNamespace<TokensApi>((client) => client.tokens, localTokens);
