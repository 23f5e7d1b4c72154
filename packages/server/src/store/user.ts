/** People. E-mail addresses are lower case; the address decides who somebody is, a GitHub account only points to a user. */
import type { Role } from "@helmr/protocol/shared";
import type { Queryable, Tx } from "./db.ts";
import { statement } from "./statement.ts";

export interface UserRow {
  id: string;
  email: string | null;
  display_name: string;
  profile_image_url: string;
  github_id: number | null;
}

export interface NewUser {
  id: string;
  email: string | null;
  display_name: string;
  profile_image_url: string;
  github_id: number | null;
  local_user: boolean;
}

const columns = "id, email, display_name, profile_image_url, github_id";

const byEmail = statement<{ email: string }, UserRow>("user_by_email", `select ${columns} from users where email = $email`);
const byGithub = statement<{ github_id: number }, UserRow>("user_by_github", `select ${columns} from users where github_id = $github_id`);

/** Nothing is inserted when the address or the GitHub account is known already: the caller looks again. */
const insert = statement<NewUser, UserRow>(
  "user_insert",
  `insert into users (id, email, display_name, profile_image_url, github_id, local_user)
   values ($id, $email, $display_name, $profile_image_url, $github_id, $local_user)
   on conflict do nothing
   returning ${columns}`,
);

const localUser = statement<Record<never, never>, UserRow>("user_local", `select ${columns} from users where local_user`);

/** Keeps what the person has; fills in what GitHub knows and we do not. The account is taken over only when nobody else points to it. */
const linkGithub = statement<{ id: string; github_id: number; display_name: string; profile_image_url: string }, UserRow>(
  "user_link_github",
  `update users
      set github_id = case when exists (select 1 from users other where other.github_id = $github_id::bigint and other.id <> $id) then github_id else $github_id end,
          display_name = case when display_name = '' then $display_name else display_name end,
          profile_image_url = case when $profile_image_url = '' then profile_image_url else $profile_image_url end,
          updated_at = now()
    where id = $id
   returning ${columns}`,
);

/** What /api/me shows: the person, the active membership if there is one, and what is missing before work can begin. */
export interface PersonRow extends UserRow {
  org_id: string | null;
  org_name: string | null;
  org_slug: string | null;
  role: Role | null;
  any_organization: boolean;
  any_project: boolean;
}

const person = statement<{ id: string }, PersonRow>(
  "user_person",
  `select u.id, u.email, u.display_name, u.profile_image_url, u.github_id,
          o.id as org_id, o.name as org_name, o.slug as org_slug, m.role,
          exists (select 1 from organizations) as any_organization,
          exists (select 1 from projects p where p.org_id = o.id and p.deleted_at is null) as any_project
     from users u
     left join lateral (select * from members where user_id = u.id and status = 'active' order by created_at, org_id limit 1) m on true
     left join organizations o on o.id = m.org_id
    where u.id = $id`,
);

export const userByEmail = (on: Queryable, email: string) => on.one(byEmail, { email });
export const userByGithub = (on: Queryable, githubId: number) => on.one(byGithub, { github_id: githubId });
export const userInsert = (tx: Tx, row: NewUser) => tx.one(insert, row);
export const userLocal = (on: Queryable) => on.one(localUser, {});
export const userLinkGithub = (tx: Tx, row: { id: string; github_id: number; display_name: string; profile_image_url: string }) =>
  tx.one(linkGithub, row);
export const userPerson = (on: Queryable, id: string) => on.one(person, { id });
