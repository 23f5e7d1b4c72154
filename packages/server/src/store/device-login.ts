/** Logins of programs without a browser (RFC 8628). `expired` is a projection: a pending or approved row past its time reads as expired. */
import type { DeviceStatus } from "@helmr/protocol/api";
import type { Queryable, Tx } from "./db.ts";
import { statement } from "./statement.ts";

type DeviceState = DeviceStatus["status"];

export interface DeviceLoginRow {
  id: string;
  status: DeviceState;
  user_id: string | null;
  expires_at: string;
}

const status = "case when status in ('pending', 'approved') and expires_at <= now() then 'expired' else status end";
const columns = `id, ${status} as status, user_id, expires_at`;

/** Nothing is inserted when the user code is taken: the caller draws another one. */
const insert = statement<{ id: string; device_code_hash: Buffer; user_code: string; lifetime_ms: number }>(
  "device_login_insert",
  `insert into device_logins (id, device_code_hash, user_code, status, expires_at)
   values ($id, $device_code_hash, $user_code, 'pending', now() + $lifetime_ms * interval '1 millisecond')
   on conflict (user_code) do nothing`,
);

const byUserCode = statement<{ user_code: string }, DeviceLoginRow>(
  "device_login_by_user_code",
  `select ${columns} from device_logins where user_code = $user_code`,
);

const decide = statement<{ user_code: string; status: "approved" | "denied"; user_id: string }, DeviceLoginRow>(
  "device_login_decide",
  `update device_logins set status = $status, user_id = $user_id
    where user_code = $user_code and status = 'pending' and expires_at > now()
   returning ${columns}`,
);

const lockByCode = statement<{ device_code_hash: Buffer }, DeviceLoginRow>(
  "device_login_lock_by_code",
  `select ${columns} from device_logins where device_code_hash = $device_code_hash for update`,
);

const byCode = statement<{ device_code_hash: Buffer }, DeviceLoginRow>(
  "device_login_by_code",
  `select ${columns} from device_logins where device_code_hash = $device_code_hash`,
);

const setStatus = statement<{ id: string; status: "consumed" | "denied" }>(
  "device_login_set_status",
  "update device_logins set status = $status where id = $id",
);

export const deviceLoginInsert = (on: Queryable, row: { id: string; device_code_hash: Buffer; user_code: string; lifetime_ms: number }) =>
  on.run(insert, row);
export const deviceLoginByUserCode = (on: Queryable, userCode: string) => on.one(byUserCode, { user_code: userCode });
export const deviceLoginDecide = (on: Queryable, row: { user_code: string; status: "approved" | "denied"; user_id: string }) =>
  on.one(decide, row);
export const deviceLoginByCode = (on: Queryable, codeHash: Buffer) => on.one(byCode, { device_code_hash: codeHash });
export const deviceLoginLockByCode = (tx: Tx, codeHash: Buffer) => tx.one(lockByCode, { device_code_hash: codeHash });
export const deviceLoginSetStatus = (tx: Tx, id: string, state: "consumed" | "denied") => tx.run(setStatus, { id, status: state });
