/** Deployments, tasks and sandboxes (http §9). */
import { deploymentEndpoints, isTerminalDeploymentEvent, sandboxEndpoints, taskEndpoints } from "@helmr/protocol/api";
import { type EngineContext, topic } from "../../engine-context.ts";
import { queueDeployment, storeSource } from "../../operations/create-deployment.ts";
import { promoteDeployment } from "../../operations/promote-deployment.ts";
import {
  type DeploymentRow,
  findDeployment,
  listDeployments,
  listSandboxes,
  listTasks,
  readCurrentDeployment,
  readDeployment,
  readDeploymentEvents,
  readSandbox,
  readTask,
} from "../../operations/read-deployments.ts";
import { invalid, isRefusal } from "../../outcome.ts";
import { clientVersions, refuseScopeFields } from "../request-facts.ts";
import type { Routes } from "../route.ts";
import { follow, followCursor, type SseFrame, wantsEvents } from "../sse.ts";
import { receiveUpload } from "./deployment-upload.ts";
import { deploymentEventView, deploymentTaskView, deploymentView, sandboxView } from "./deployment-view.ts";
import type { Following } from "./runs.ts";

export function addDeploymentRoutes(routes: Routes, context: EngineContext, onFault: (error: unknown) => void): void {
  routes.add(deploymentEndpoints.create, async ({ actor, scope, request }) => {
    const received = await receiveUpload(request, async ({ metadata, source }) => {
      const refused = refuseScopeFields(actor, metadata);
      return refused ?? storeSource(context, { scope, metadata, source });
    });
    if (isRefusal(received)) return received;
    const { metadata, stored: size } = received;
    const created = await queueDeployment(context, { scope, metadata, size, ...clientVersions(request) });
    return { status: 201, body: deploymentView(created) };
  });

  routes.add(deploymentEndpoints.list, async ({ scope, query }) => {
    const rows = await listDeployments(context, scope.environmentId, query.limit);
    return { body: { deployments: rows.map((row) => deploymentView(row)) } };
  });

  routes.add(deploymentEndpoints.current, async ({ scope }) => {
    const read = await readCurrentDeployment(context, scope.environmentId);
    return { body: { deployment: read ? deploymentView(read.deployment, read.tasks) : null } };
  });

  routes.add(deploymentEndpoints.get, async ({ scope, params }) => {
    const read = await readDeployment(context, scope.environmentId, params.id);
    return isRefusal(read) ? read : { body: deploymentView(read.deployment, read.tasks) };
  });

  routes.add(deploymentEndpoints.events, async ({ scope, params, query, request, reply }) => {
    const deployment = await findDeployment(context, scope.environmentId, params.id);
    if (isRefusal(deployment)) return deployment;
    if (wantsEvents(request)) return followDeployment({ context, request, reply, onFault }, deployment, query.cursor);
    const cursor = query.cursor ?? 0;
    const { rows, more } = await readDeploymentEvents(context, deployment.id, cursor, query.limit);
    const last = rows.at(-1);
    const events = rows.map((row) => deploymentEventView(deployment, row));
    return { body: { events, cursor, ...(more && last ? { next_cursor: last.seq } : {}) } };
  });

  routes.add(deploymentEndpoints.promote, async ({ scope, params, body }) => {
    const deployment = await promoteDeployment(context, { scope, ref: params.id, reason: body.reason });
    return isRefusal(deployment) ? deployment : { body: deploymentView(deployment) };
  });

  addCatalogRoutes(routes, context);
}

function addCatalogRoutes(routes: Routes, context: EngineContext): void {
  routes.add(taskEndpoints.list, async ({ scope }) => ({
    body: { tasks: (await listTasks(context, scope.environmentId)).map(deploymentTaskView) },
  }));
  routes.add(taskEndpoints.get, async ({ scope, params }) => {
    const task = await readTask(context, scope.environmentId, params.taskID);
    return isRefusal(task) ? task : { body: deploymentTaskView(task) };
  });
  routes.add(sandboxEndpoints.list, async ({ scope }) => ({
    body: { sandboxes: (await listSandboxes(context, scope.environmentId)).map(sandboxView) },
  }));
  routes.add(sandboxEndpoints.get, async ({ scope, params }) => {
    const sandbox = await readSandbox(context, scope.environmentId, params.sandboxID);
    return isRefusal(sandbox) ? sandbox : { body: sandboxView(sandbox) };
  });
}

const followPage = 500;

function followDeployment({ context, request, reply, onFault }: Following, deployment: DeploymentRow, queryCursor: number | undefined) {
  const cursor = followCursor(request, queryCursor);
  if (cursor === "invalid") return invalid("Last-Event-ID must be a non-negative integer");
  let after = cursor;
  return follow({
    request,
    reply,
    hints: context.hints,
    topics: [topic.deployment(deployment.id)],
    onFault,
    async next() {
      const { rows, more } = await readDeploymentEvents(context, deployment.id, after, followPage);
      after = rows.at(-1)?.seq ?? after;
      const frames = rows.map((row): SseFrame => ({
        id: String(row.seq),
        event: "deployment_event",
        data: deploymentEventView(deployment, row),
      }));
      const ended =
        rows.some((row) => isTerminalDeploymentEvent(row.kind)) || (rows.length === 0 && (await endedBefore(context, deployment, after)));
      return { frames, done: ended && !more, more };
    },
  });
}

/** Events may follow the terminal one (a promotion): a follower that begins behind it still ends. */
async function endedBefore(context: EngineContext, deployment: DeploymentRow, after: number): Promise<boolean> {
  if (after === 0) return false;
  const now = await findDeployment(context, deployment.environment_id, deployment.id);
  return isRefusal(now) || now.state === "deployed" || now.state === "failed";
}
