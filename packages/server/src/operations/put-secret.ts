/** Secrets as people and programs manage them (http §10): names go out, values only go in. */
import { namePattern } from "@helmr/protocol/shared";
import type { Secret } from "@helmr/protocol/api";
import { required } from "../assert.ts";
import { type Refusal, notFound } from "../outcome.ts";
import type { Keys } from "../secrets.ts";
import type { Queryable } from "../store/db.ts";
import { type SecretRow, secretDelete, secretGet, secretList, secretPut } from "../store/secret.ts";

export interface SecretScope {
  projectId: string;
  environmentId: string;
}

/** Bound into the ciphertext: a sealed value is good for this name in this environment only. */
export function secretContext(environmentId: string, name: string): string {
  return `${environmentId}/${name}`;
}

export async function listSecrets(db: Queryable, scope: SecretScope): Promise<Secret[]> {
  return (await secretList(db, scope.environmentId)).map((row) => secretView(scope, row));
}

export async function getSecret(db: Queryable, scope: SecretScope, name: string): Promise<Secret | Refusal> {
  const row = namePattern.secret.test(name) ? await secretGet(db, scope.environmentId, name) : undefined;
  return row ? secretView(scope, row) : notFound("secret not found");
}

export interface PutSecret {
  scope: SecretScope;
  name: string;
  value: string;
}

/** Creates or replaces; attempts that start later get the new value. */
export async function putSecret(db: Queryable, keys: Keys, { scope, name, value }: PutSecret): Promise<Secret> {
  const sealed = keys.seal("secrets", Buffer.from(value), secretContext(scope.environmentId, name));
  const row = await secretPut(db, { environment_id: scope.environmentId, name, key_id: sealed.keyId, sealed: sealed.bytes });
  return secretView(scope, required(row, "An upsert returns its row"));
}

export async function deleteSecret(db: Queryable, scope: SecretScope, name: string): Promise<Refusal | "deleted"> {
  const touched = namePattern.secret.test(name) ? await secretDelete(db, scope.environmentId, name) : 0;
  return touched > 0 ? "deleted" : notFound("secret not found");
}

function secretView(scope: SecretScope, row: SecretRow): Secret {
  return {
    project_id: scope.projectId,
    environment_id: scope.environmentId,
    name: row.name,
    created_at: row.created_at,
    updated_at: row.updated_at,
  };
}
