/** Materialize and connect (http §11): the live mount, or a new one. Repeated until it is mounted. */
import type { Refusal } from "../outcome.ts";
import { workspaceLock } from "../store/workspace.ts";
import type { EngineContext } from "../engine-context.ts";
import { noWorkspace } from "./delete-workspace.ts";
import { ensureMount, type EnsuredMount } from "./ensure-mount.ts";

export async function materializeWorkspace(context: EngineContext, environmentId: string, id: string): Promise<EnsuredMount | Refusal> {
  return context.db.tx(async (tx) => {
    const workspace = await workspaceLock(tx, environmentId, id);
    return workspace ? ensureMount(tx, context, workspace) : noWorkspace();
  });
}
