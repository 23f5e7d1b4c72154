/** The cache of image steps (protocol/worker/image-steps.ts). Rows are never changed but for the time of their last use. */
import type { ImageStepConfig } from "@helmr/protocol/worker";
import { json, type Queryable, type Tx } from "./db.ts";
import { statement } from "./statement.ts";

export interface ImageStepRow {
  key: string;
  config: ImageStepConfig;
  artifact_id: string;
  manifest_key: string;
  digest: string;
  length_bytes: number;
}

const find = statement<{ project_id: string; keys: string[] }, ImageStepRow>(
  "image_step_find",
  `with used as (update image_steps set used_at = now() where project_id = $project_id and key = any($keys::text[]) returning key, config, artifact_id)
   select u.key, u.config, a.id as artifact_id, a.manifest_key, a.digest, a.length_bytes
     from used u join artifacts a on a.id = u.artifact_id where a.state = 'ready'`,
);

const previous = statement<{ project_id: string; places: string[] }, { place: string; inputs: Record<string, string> }>(
  "image_step_previous",
  `select p.place, s.inputs
     from unnest($places::text[]) as p (place)
     cross join lateral (select inputs from image_steps where project_id = $project_id and place = p.place order by created_at desc limit 1) s`,
);

const insert = statement<{ project_id: string; key: string; place: string; inputs: string; config: string; artifact_id: string }>(
  "image_step_insert",
  `insert into image_steps (project_id, key, place, inputs, config, artifact_id)
   values ($project_id, $key, $place, $inputs::jsonb, $config::jsonb, $artifact_id)
   on conflict (project_id, key) do nothing`,
);

/** An image of a deployment must be a step that its project has built. */
const ofProject = statement<{ project_id: string; artifact_ids: string[] }, { artifact_id: string }>(
  "image_step_of_project",
  "select artifact_id from image_steps where artifact_id = any($artifact_ids::uuid[]) and project_id = $project_id",
);

/** Their artifacts follow when nothing else refers to them. */
const prune = statement<{ older_ms: number; row_limit: number }>(
  "image_step_prune",
  `delete from image_steps where (project_id, key) in
    (select project_id, key from image_steps where used_at < now() - $older_ms * interval '1 millisecond' order by used_at limit $row_limit)`,
);

export const imageStepFind = (on: Queryable, projectId: string, keys: string[]) => on.all(find, { project_id: projectId, keys });
export const imageStepPrevious = (on: Queryable, projectId: string, places: string[]) =>
  on.all(previous, { project_id: projectId, places });
export const imageStepInsert = (
  tx: Tx,
  row: { projectId: string; key: string; place: string; inputs: Record<string, string>; config: ImageStepConfig; artifactId: string },
) =>
  tx.run(insert, {
    project_id: row.projectId,
    key: row.key,
    place: row.place,
    inputs: json(row.inputs),
    config: json(row.config),
    artifact_id: row.artifactId,
  });
export const imageStepOfProject = (on: Queryable, projectId: string, artifactIds: string[]) =>
  on.all(ofProject, { project_id: projectId, artifact_ids: artifactIds });
export const imageStepPrune = (on: Queryable, olderMs: number, limit: number) => on.run(prune, { older_ms: olderMs, row_limit: limit });
