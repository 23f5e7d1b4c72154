/** Invitations into an organization. `expired` is a projection of a pending row past its time. */
import type { Invitation } from "@helmr/protocol/api";
import type { Role } from "@helmr/protocol/shared";
import type { Queryable, Tx } from "./db.ts";
import { statement } from "./statement.ts";

export interface InvitationRow {
  id: string;
  org_id: string;
  email: string;
  role: Role;
  status: Invitation["status"];
  invited_by_user_id: string | null;
  accepted_by_user_id: string | null;
  revoked_by_user_id: string | null;
  created_at: string;
  expires_at: string;
  accepted_at: string | null;
  revoked_at: string | null;
}

const columns = `id, org_id, email, role, case when status = 'pending' and expires_at <= now() then 'expired' else status end as status,
  invited_by_user_id, accepted_by_user_id, revoked_by_user_id, created_at, expires_at, accepted_at, revoked_at`;

const list = statement<{ org_id: string; row_limit: number }, InvitationRow>(
  "invitation_list",
  `select ${columns} from invitations where org_id = $org_id order by created_at desc, id desc limit $row_limit`,
);

const insert = statement<
  { id: string; org_id: string; token_hash: Buffer; email: string; role: Role; invited_by_user_id: string; expires_in_days: number },
  InvitationRow
>(
  "invitation_insert",
  `insert into invitations (id, org_id, token_hash, email, role, status, invited_by_user_id, expires_at)
   values ($id, $org_id, $token_hash, $email, $role, 'pending', $invited_by_user_id, now() + $expires_in_days * interval '1 day')
   returning ${columns}`,
);

const byToken = statement<{ token_hash: Buffer }, InvitationRow>(
  "invitation_by_token",
  `select ${columns} from invitations where token_hash = $token_hash`,
);

const lockById = statement<{ id: string }, InvitationRow>(
  "invitation_lock",
  `select ${columns} from invitations where id = $id for update`,
);

const accept = statement<{ id: string; user_id: string }>(
  "invitation_accept",
  "update invitations set status = 'accepted', accepted_at = now(), accepted_by_user_id = $user_id where id = $id",
);

const revoke = statement<{ id: string; user_id: string }>(
  "invitation_revoke",
  "update invitations set status = 'revoked', revoked_at = now(), revoked_by_user_id = $user_id where id = $id",
);

export const invitationList = (on: Queryable, orgId: string, limit: number) => on.all(list, { org_id: orgId, row_limit: limit });
export const invitationInsert = (
  on: Queryable,
  row: { id: string; org_id: string; token_hash: Buffer; email: string; role: Role; invited_by_user_id: string; expires_in_days: number },
) => on.one(insert, row);
export const invitationByToken = (on: Queryable, tokenHash: Buffer) => on.one(byToken, { token_hash: tokenHash });
export const invitationLock = (tx: Tx, id: string) => tx.one(lockById, { id });
export const invitationAccept = (tx: Tx, id: string, userId: string) => tx.run(accept, { id, user_id: userId });
export const invitationRevoke = (tx: Tx, id: string, userId: string) => tx.run(revoke, { id, user_id: userId });
