/** Secrets (http §10). */
import { secretEndpoints } from "@helmr/protocol/api";
import type { AccountContext } from "../../account-context.ts";
import { deleteSecret, getSecret, listSecrets, putSecret } from "../../operations/put-secret.ts";
import { isRefusal } from "../../outcome.ts";
import { type Routes, answer } from "../route.ts";

export function addSecretRoutes(routes: Routes, { db, keys }: AccountContext): void {
  routes.add(secretEndpoints.list, async ({ scope }) => ({ body: { secrets: await listSecrets(db, scope) } }));
  routes.add(secretEndpoints.get, async ({ scope, params }) => answer(await getSecret(db, scope, params.name)));
  routes.add(secretEndpoints.put, async ({ scope, params, body }) => ({
    body: await putSecret(db, keys, { scope, name: params.name, value: body.value }),
  }));
  routes.add(secretEndpoints.delete, async ({ scope, params }) => {
    const deleted = await deleteSecret(db, scope, params.name);
    return isRefusal(deleted) ? deleted : {};
  });
}
