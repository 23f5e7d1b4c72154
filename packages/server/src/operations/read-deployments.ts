/** Deployments, their tasks, sandboxes and events as they are read. */
import { type EngineContext } from "../engine-context.ts";
import { notFound, type Refusal } from "../outcome.ts";
import {
  deploymentCurrent,
  deploymentCurrentTasks,
  type DeploymentEventRow,
  deploymentEvents,
  deploymentGet,
  deploymentList,
  type DeploymentRow,
  deploymentSandboxes,
  type DeploymentTaskRow,
  deploymentTasks,
  type SandboxRow,
} from "../store/deployment.ts";
import { noDeployment } from "./promote-deployment.ts";
import type { Page } from "./read-runs.ts";

export type { DeploymentEventRow, DeploymentRow, DeploymentTaskRow, SandboxRow };

export interface ReadDeployment {
  deployment: DeploymentRow;
  tasks: DeploymentTaskRow[];
}

export async function readDeployment({ db }: EngineContext, environmentId: string, id: string): Promise<ReadDeployment | Refusal> {
  const deployment = await deploymentGet(db, environmentId, id);
  return deployment ? { deployment, tasks: await deploymentTasks(db, id) } : noDeployment();
}

export async function readCurrentDeployment({ db }: EngineContext, environmentId: string): Promise<ReadDeployment | undefined> {
  const deployment = await deploymentCurrent(db, environmentId);
  return deployment && { deployment, tasks: await deploymentTasks(db, deployment.id) };
}

export const listDeployments = ({ db }: EngineContext, environmentId: string, limit: number) => deploymentList(db, environmentId, limit);

export async function findDeployment({ db }: EngineContext, environmentId: string, id: string): Promise<DeploymentRow | Refusal> {
  return (await deploymentGet(db, environmentId, id)) ?? noDeployment();
}

export async function readDeploymentEvents(
  { db }: EngineContext,
  id: string,
  after: number,
  limit: number,
): Promise<Page<DeploymentEventRow>> {
  const rows = await deploymentEvents(db, id, after, limit + 1);
  return { rows: rows.slice(0, limit), more: rows.length > limit };
}

export const listTasks = ({ db }: EngineContext, environmentId: string) => deploymentCurrentTasks(db, environmentId, null);

export async function readTask({ db }: EngineContext, environmentId: string, taskId: string): Promise<DeploymentTaskRow | Refusal> {
  const [task] = await deploymentCurrentTasks(db, environmentId, taskId);
  return task ?? notFound("task not found");
}

export const listSandboxes = ({ db }: EngineContext, environmentId: string) => deploymentSandboxes(db, environmentId);

export async function readSandbox({ db }: EngineContext, environmentId: string, sandboxId: string): Promise<SandboxRow | Refusal> {
  const [sandbox] = await deploymentSandboxes(db, environmentId, { sandboxId });
  return sandbox ?? notFound("sandbox not found");
}
