/**
 * Members of an organization (http §15.5). Removing somebody disables the membership and ends their login sessions; their API keys lose every
 * permission with the role they came from. An organization never loses its last active owner: every change locks all owners first.
 */
import type { Member } from "@helmr/protocol/api";
import type { Role } from "@helmr/protocol/shared";
import { required } from "../assert.ts";
import type { Hints } from "../hints.ts";
import { type Refusal, notFound, refusal } from "../outcome.ts";
import type { Db, Queryable } from "../store/db.ts";
import { loginSessionRevokeOfUser } from "../store/login-session.ts";
import { type MemberRow, memberDisable, memberFind, memberListOf, memberLockWithOwners, memberSetRole } from "../store/organization.ts";
import { credentialsTopic } from "../account-limits.ts";

export interface RoleChange {
  orgId: string;
  userId: string;
  role: Role;
  expectedRole: Role;
}

export async function listMembers(db: Queryable, orgId: string): Promise<Member[]> {
  return (await memberListOf(db, orgId)).map(memberView);
}

export async function changeMemberRole(db: Db, hints: Hints, change: RoleChange): Promise<Member | Refusal> {
  return db.tx(async (tx) => {
    const locked = await memberLockWithOwners(tx, change.orgId, change.userId);
    const target = locked.find((row) => row.user_id === change.userId);
    if (!target) return notFound("member not found");
    if (target.role !== change.expectedRole) {
      return refusal(409, `the member's role is ${target.role}, not ${change.expectedRole}; read it again and decide anew`);
    }
    if (change.role !== "owner" && isLastOwner(locked, target)) return lastOwner();
    await memberSetRole(tx, { org_id: change.orgId, user_id: change.userId, role: change.role });
    tx.afterCommit(() => hints.send(credentialsTopic));
    return memberView(required(await memberFind(tx, change.orgId, change.userId), "The member is locked"));
  });
}

/** Removing somebody who was removed before changes nothing. */
export async function removeMember(db: Db, hints: Hints, orgId: string, userId: string): Promise<Refusal | "removed"> {
  return db.tx(async (tx) => {
    const locked = await memberLockWithOwners(tx, orgId, userId);
    const target = locked.find((row) => row.user_id === userId);
    if (!target) return notFound("member not found");
    if (isLastOwner(locked, target)) return lastOwner();
    await memberDisable(tx, orgId, userId);
    await loginSessionRevokeOfUser(tx, userId);
    tx.afterCommit(() => hints.send(credentialsTopic));
    return "removed" as const;
  });
}

type Locked = Pick<MemberRow, "user_id" | "role" | "status">;

function isLastOwner(locked: readonly Locked[], target: Locked): boolean {
  const isActiveOwner = (row: Locked) => row.role === "owner" && row.status === "active";
  return isActiveOwner(target) && locked.filter(isActiveOwner).length === 1;
}

function lastOwner(): Refusal {
  return refusal(409, "the organization needs at least one owner; make somebody else an owner first");
}

function memberView(row: MemberRow): Member {
  return {
    user_id: row.user_id,
    display_name: row.display_name,
    ...(row.email === null ? {} : { email: row.email }),
    role: row.role,
    status: row.status,
    created_at: row.created_at,
    updated_at: row.updated_at,
    ...(row.disabled_at === null ? {} : { disabled_at: row.disabled_at }),
  };
}
