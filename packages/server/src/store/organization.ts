/** Organizations and their members. Lock order: advisory lock of organization creation → members in order of user id. */
import type { Role } from "@helmr/protocol/shared";
import { advisoryLock } from "./advisory-lock.ts";
import type { Queryable, Tx } from "./db.ts";
import { statement } from "./statement.ts";

export interface OrganizationRow {
  id: string;
  slug: string;
  name: string;
  created_at: string;
}

export interface MemberRow {
  user_id: string;
  display_name: string;
  email: string | null;
  role: Role;
  status: "active" | "disabled";
  created_at: string;
  updated_at: string;
  disabled_at: string | null;
}

export interface MembershipRow {
  org_id: string;
  role: Role;
  status: "active" | "disabled";
}

const any = statement<Record<never, never>, { found: boolean }>("organization_any", "select exists (select 1 from organizations) as found");

const insert = statement<{ id: string; slug: string; name: string }, OrganizationRow>(
  "organization_insert",
  "insert into organizations (id, slug, name) values ($id, $slug, $name) returning id, slug, name, created_at",
);

const get = statement<{ id: string }, OrganizationRow>(
  "organization_get",
  "select id, slug, name, created_at from organizations where id = $id",
);

const oldest = statement<Record<never, never>, OrganizationRow>(
  "organization_oldest",
  "select id, slug, name, created_at from organizations order by created_at, id limit 1",
);

const memberInsert = statement<{ org_id: string; user_id: string; role: Role }>(
  "member_insert",
  "insert into members (org_id, user_id, role) values ($org_id, $user_id, $role)",
);

const membershipLock = statement<{ user_id: string }, MembershipRow>(
  "membership_lock",
  "select org_id, role, status from members where user_id = $user_id order by (status = 'active') desc, created_at, org_id for update",
);

const memberColumns = `m.user_id, u.display_name, u.email, m.role, m.status, m.created_at, m.updated_at, m.disabled_at`;

const memberList = statement<{ org_id: string }, MemberRow>(
  "member_list",
  `select ${memberColumns} from members m join users u on u.id = m.user_id where m.org_id = $org_id order by m.created_at, m.user_id`,
);

const memberGet = statement<{ org_id: string; user_id: string }, MemberRow>(
  "member_get",
  `select ${memberColumns} from members m join users u on u.id = m.user_id where m.org_id = $org_id and m.user_id = $user_id`,
);

/** The member and every active owner, in one order: of two owners who demote each other the second waits here and then sees one owner. */
const lockWithOwners = statement<{ org_id: string; user_id: string }, { user_id: string; role: Role; status: "active" | "disabled" }>(
  "member_lock_with_owners",
  `select user_id, role, status from members
    where org_id = $org_id and (user_id = $user_id or (role = 'owner' and status = 'active'))
    order by user_id
      for update`,
);

const setRole = statement<{ org_id: string; user_id: string; role: Role }>(
  "member_set_role",
  "update members set role = $role, updated_at = now() where org_id = $org_id and user_id = $user_id",
);

const disable = statement<{ org_id: string; user_id: string }>(
  "member_disable",
  `update members set status = 'disabled', disabled_at = now(), updated_at = now()
    where org_id = $org_id and user_id = $user_id and status = 'active'`,
);

const enable = statement<{ org_id: string; user_id: string; role: Role }>(
  "member_enable",
  `update members set status = 'active', role = $role, disabled_at = null, updated_at = now()
    where org_id = $org_id and user_id = $user_id and status = 'disabled'`,
);

const activeByEmail = statement<{ org_id: string; email: string }, { user_id: string }>(
  "member_active_by_email",
  `select m.user_id from members m join users u on u.id = m.user_id
    where m.org_id = $org_id and u.email = $email and m.status = 'active'`,
);

export const organizationLockCreation = (tx: Tx) => advisoryLock(tx, "organization creation");
export const organizationExists = async (on: Queryable) => (await on.one(any, {}))?.found ?? false;
export const organizationInsert = (tx: Tx, row: { id: string; slug: string; name: string }) => tx.one(insert, row);
export const organizationGet = (on: Queryable, id: string) => on.one(get, { id });
export const organizationOldest = (on: Queryable) => on.one(oldest, {});

export const memberInsertNew = (tx: Tx, row: { org_id: string; user_id: string; role: Role }) => tx.run(memberInsert, row);
/** Active memberships first. */
export const membershipsLock = (tx: Tx, userId: string) => tx.all(membershipLock, { user_id: userId });
export const memberListOf = (on: Queryable, orgId: string) => on.all(memberList, { org_id: orgId });
export const memberFind = (on: Queryable, orgId: string, userId: string) => on.one(memberGet, { org_id: orgId, user_id: userId });
export const memberLockWithOwners = (tx: Tx, orgId: string, userId: string) => tx.all(lockWithOwners, { org_id: orgId, user_id: userId });
export const memberSetRole = (tx: Tx, row: { org_id: string; user_id: string; role: Role }) => tx.run(setRole, row);
export const memberDisable = (tx: Tx, orgId: string, userId: string) => tx.run(disable, { org_id: orgId, user_id: userId });
export const memberEnable = (tx: Tx, row: { org_id: string; user_id: string; role: Role }) => tx.run(enable, row);
export const memberActiveByEmail = (on: Queryable, orgId: string, email: string) => on.one(activeByEmail, { org_id: orgId, email });
