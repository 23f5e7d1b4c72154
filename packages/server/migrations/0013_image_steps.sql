-- Steps of image builds that were made before, by the key of everything they depend on. The artifact holds the image as it was after the step.
-- breaking: no

create table image_steps (
  project_id  uuid not null references projects on delete cascade,
  key         text not null,                 -- sha256:<hex>, made by the worker
  place       text not null,                 -- image and position: what a step is compared with when it was not found
  inputs      jsonb not null,                -- what the key is made of, as digests
  config      jsonb not null,
  artifact_id uuid not null references artifacts on delete cascade,
  created_at  timestamptz not null default now(),
  used_at     timestamptz not null default now(),
  primary key (project_id, key)
);
create index image_steps_place on image_steps (project_id, place, created_at desc);
create index image_steps_artifact on image_steps (artifact_id);
create index image_steps_used on image_steps (used_at);
