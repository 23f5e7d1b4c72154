/**
 * Makes a deployment the current one of its environment (http §9.3): new sessions start on it, declarative schedules follow it, live runs stay where they
 * are. Locks the environment, so that two promotions are one after the other.
 */
import { isUuid } from "@helmr/protocol/shared";
import { invalid, notFound, type Refusal } from "../outcome.ts";
import {
  deploymentEventAppend,
  deploymentGet,
  deploymentGetByVersion,
  deploymentPromote,
  type DeploymentRow,
  environmentLock,
} from "../store/deployment.ts";
import { type EngineContext, topic } from "../engine-context.ts";
import type { StartScope } from "./start-session.ts";

export const noDeployment = (): Refusal => notFound("deployment not found");

export async function promoteDeployment(
  context: EngineContext,
  { scope, ref, reason }: { scope: StartScope; ref: string; reason: string | undefined },
): Promise<DeploymentRow | Refusal> {
  return context.db.tx(async (tx) => {
    const environment = await environmentLock(tx, scope.environmentId);
    if (!environment) return notFound("environment not found");
    const deployment = isUuid(ref)
      ? await deploymentGet(tx, scope.environmentId, ref)
      : await deploymentGetByVersion(tx, scope.environmentId, ref);
    if (!deployment) return noDeployment();
    if (deployment.state !== "deployed") return invalid("deployment is not deployable");
    await deploymentPromote(tx, scope.environmentId, deployment.id);
    for (const hook of context.hooks.deploymentPromoted) await hook(tx, { ...scope, deploymentId: deployment.id });
    await deploymentEventAppend(tx, deployment.id, [
      {
        kind: "deployment.promoted",
        severity: "info",
        message: `deployment ${deployment.version} is current`,
        attributes: { ...(reason === undefined ? {} : { reason }), previous_deployment_id: environment.current_deployment_id },
      },
    ]);
    tx.afterCommit(() => context.hints.send(topic.deployment(deployment.id)));
    return deployment;
  });
}
