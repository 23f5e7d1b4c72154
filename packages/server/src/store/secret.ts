/** Secret values of environments, sealed. Rows are small and few; every statement goes by the primary key or by the index on key_id. */
import type { Queryable, Tx } from "./db.ts";
import { statement } from "./statement.ts";

export interface SecretRow {
  name: string;
  created_at: string;
  updated_at: string;
}

export interface SealedSecretRow {
  environment_id: string;
  name: string;
  key_id: string;
  sealed: Buffer;
}

const list = statement<{ environment_id: string }, SecretRow>(
  "secret_list",
  "select name, created_at, updated_at from secrets where environment_id = $environment_id order by name",
);

const get = statement<{ environment_id: string; name: string }, SecretRow>(
  "secret_get",
  "select name, created_at, updated_at from secrets where environment_id = $environment_id and name = $name",
);

const put = statement<SealedSecretRow, SecretRow>(
  "secret_put",
  `insert into secrets (environment_id, name, key_id, sealed)
   values ($environment_id, $name, $key_id, $sealed)
   on conflict (environment_id, name) do update
      set key_id = excluded.key_id, sealed = excluded.sealed, updated_at = now()
   returning name, created_at, updated_at`,
);

const remove = statement<{ environment_id: string; name: string }>(
  "secret_delete",
  "delete from secrets where environment_id = $environment_id and name = $name",
);

const keyIds = statement<{ environment_id: string; names: string[] }, { name: string; key_id: string }>(
  "secret_key_ids",
  "select name, key_id from secrets where environment_id = $environment_id and name = any($names::text[])",
);

const sealedByName = statement<{ environment_id: string; names: string[] }, SealedSecretRow>(
  "secret_sealed",
  "select environment_id, name, key_id, sealed from secrets where environment_id = $environment_id and name = any($names::text[])",
);

/** Locks a page of rows that another key sealed. Rows that somebody is writing are skipped: their writer seals with the current key. */
const lockSealedByOthers = statement<
  { current_key_id: string; after_environment_id: string; after_name: string; row_limit: number },
  SealedSecretRow
>(
  "secret_lock_sealed_by_others",
  `select environment_id, name, key_id, sealed
     from secrets
    where key_id <> $current_key_id
      and (environment_id, name) > ($after_environment_id::uuid, $after_name)
    order by environment_id, name
    limit $row_limit
      for update skip locked`,
);

/** A new envelope for the same value, so updated_at stays. */
const reseal = statement<SealedSecretRow>(
  "secret_reseal",
  "update secrets set key_id = $key_id, sealed = $sealed where environment_id = $environment_id and name = $name",
);

const countByKey = statement<Record<never, never>, { key_id: string; count: number }>(
  "secret_count_by_key",
  "select key_id, count(*) as count from secrets group by key_id order by key_id",
);

export const secretList = (on: Queryable, environmentId: string) => on.all(list, { environment_id: environmentId });
export const secretGet = (on: Queryable, environmentId: string, name: string) => on.one(get, { environment_id: environmentId, name });
export const secretPut = (on: Queryable, row: SealedSecretRow) => on.one(put, row);
export const secretDelete = (on: Queryable, environmentId: string, name: string) => on.run(remove, { environment_id: environmentId, name });
export const secretKeyIds = (on: Queryable, environmentId: string, names: string[]) =>
  on.all(keyIds, { environment_id: environmentId, names });
export const secretSealed = (on: Queryable, environmentId: string, names: string[]) =>
  on.all(sealedByName, { environment_id: environmentId, names });
export const secretReseal = (tx: Tx, row: SealedSecretRow) => tx.run(reseal, row);
export const secretCountByKey = (on: Queryable) => on.all(countByKey, {});

export function secretLockSealedByOthers(
  tx: Tx,
  page: { currentKeyId: string; after: { environmentId: string; name: string }; limit: number },
) {
  return tx.all(lockSealedByOthers, {
    current_key_id: page.currentKeyId,
    after_environment_id: page.after.environmentId,
    after_name: page.after.name,
    row_limit: page.limit,
  });
}
