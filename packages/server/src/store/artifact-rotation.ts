/**
 * Rotation of content keys (operations/rotate-content.ts): artifacts page by page with what is known of their keys, and what refers to one taking another
 * of equal content instead.
 */
import type { Queryable, Tx } from "./db.ts";
import { statement } from "./statement.ts";
import { artifactReferences, isReferred } from "./storage-collection.ts";

export interface RotatingArtifact {
  id: string;
  org_id: string;
  kind: "image" | "task" | "workspace" | "memory" | "device" | "scratch";
  manifest_key: string;
  digest: string;
  /** Null: nobody has looked yet. */
  sealed_with: string[] | null;
  is_referred: boolean;
}

const page = statement<{ after: string; row_limit: number }, RotatingArtifact>(
  "artifact_rotation_page",
  `with page as (select id, org_id, kind, manifest_key, digest, sealed_with, state from artifacts where id > $after order by id limit $row_limit)
   select p.id, p.org_id, p.kind, p.manifest_key, p.digest, p.sealed_with, p.state = 'ready' and (${isReferred("p.id")}) as is_referred
     from page p order by p.id`,
);

const found = statement<{ id: string; sealed_with: string[] }>(
  "artifact_rotation_found",
  "update artifacts set sealed_with = $sealed_with where id = $id and state = 'ready'",
);

/** Of equal content, and all under the current key. */
const equal = statement<{ id: string; current: string }, { id: string }>(
  "artifact_rotation_equal",
  `select e.id from artifacts a join artifacts e on e.org_id = a.org_id and e.kind = a.kind and e.digest = a.digest
    where a.id = $id and e.id <> a.id and e.state = 'ready' and e.sealed_with = array[$current] order by e.id limit 1`,
);

/** Whoever is about to refer to one of them holds it as well: the collection leaves both alone until the transaction ends. */
const hold = statement<{ ids: string[] }, { id: string }>(
  "artifact_rotation_hold",
  "select id from artifacts where id = any($ids::uuid[]) and state = 'ready' order by id for key share",
);

/** It may still be read by who was told of it: its grace begins now. */
const left = statement<{ id: string }>("artifact_rotation_left", "update artifacts set unreferenced_since = null where id = $id");

const moves = artifactReferences.map(([table, column]) =>
  statement<{ from_id: string; to_id: string }>(
    `artifact_rotation_move_${table}_${column}`,
    `update ${table} set ${column} = $to_id where ${column} = $from_id`,
  ),
);

export const artifactRotationPage = (on: Queryable, after: string, limit: number) => on.all(page, { after, row_limit: limit });
export const artifactRotationFound = (on: Queryable, id: string, sealedWith: string[]) => on.run(found, { id, sealed_with: sealedWith });
export const artifactRotationEqual = async (on: Queryable, id: string, current: string) => (await on.one(equal, { id, current }))?.id;

export async function artifactRotationHold(tx: Tx, ids: string[]): Promise<boolean> {
  return (await tx.all(hold, { ids })).length === ids.length;
}

/** How many rows refer to the other one now. */
export async function artifactRotationMove(tx: Tx, from: string, to: string): Promise<number> {
  let moved = 0;
  for (const move of moves) moved += await tx.run(move, { from_id: from, to_id: to });
  await tx.run(left, { id: from });
  return moved;
}
