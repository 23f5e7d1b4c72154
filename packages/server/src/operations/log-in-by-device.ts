/**
 * Login of a program without a browser (RFC 8628, http §15.2): it shows a code, a signed-in person approves the code, the program exchanges its
 * device code once. A program that polls faster than it was told hears `authorization_pending` like any other; nothing is written for a poll.
 */
import type { DeviceStart, DeviceStatus, DeviceToken } from "@helmr/protocol/api";
import { credentialPrefix } from "@helmr/protocol/shared";
import type { AccountSettings } from "../account-settings.ts";
import { Bug } from "../assert.ts";
import { credentialHash, isIssuedForm, issueCredential, randomText } from "../credentials.ts";
import { newId } from "../new-id.ts";
import { type Refusal, invalid, notFound } from "../outcome.ts";
import type { Db, Queryable, Tx } from "../store/db.ts";
import {
  type DeviceLoginRow,
  deviceLoginByCode,
  deviceLoginByUserCode,
  deviceLoginDecide,
  deviceLoginInsert,
  deviceLoginLockByCode,
  deviceLoginSetStatus,
} from "../store/device-login.ts";
import { membershipsLock } from "../store/organization.ts";
import { accountLimits } from "../account-limits.ts";
import { openLoginSession } from "./open-login-session.ts";

/** No vowels, so no words; nothing that looks like something else. 20^8 codes live for ten minutes each. */
const userCodeAlphabet = "BCDFGHJKLMNPQRSTVWXZ";
const userCodeDrawsMax = 8;

export type DeviceExchange =
  | { kind: "token"; token: DeviceToken }
  | { kind: "pending" }
  | { kind: "refused"; error: "access_denied" | "expired_token" | "invalid_request" };

export async function startDeviceLogin(db: Queryable, settings: AccountSettings): Promise<DeviceStart> {
  const { text, hash } = issueCredential(credentialPrefix.deviceCode);
  const userCode = await insertWithFreeUserCode(db, hash);
  const uri = `${settings.publicUrl}/auth/device`;
  return {
    device_code: text,
    user_code: userCode,
    verification_uri: uri,
    verification_uri_complete: `${uri}?code=${userCode}`,
    expires_in_seconds: accountLimits.deviceLoginMs / 1_000,
    interval_seconds: accountLimits.devicePollMs / 1_000,
  };
}

async function insertWithFreeUserCode(db: Queryable, hash: Buffer): Promise<string> {
  for (let draw = 0; draw < userCodeDrawsMax; draw += 1) {
    const code = randomText(8, userCodeAlphabet);
    const userCode = `${code.slice(0, 4)}-${code.slice(4)}`;
    const row = { id: newId(), device_code_hash: hash, user_code: userCode, lifetime_ms: accountLimits.deviceLoginMs };
    if ((await deviceLoginInsert(db, row)) > 0) return userCode;
  }
  throw new Bug("Device codes collide: the random source is broken");
}

export async function deviceLoginStatus(db: Queryable, userCode: string): Promise<DeviceStatus | Refusal> {
  const row = await deviceLoginByUserCode(db, userCode);
  return row ? statusView(row) : notFound("device login not found");
}

/** Saying the same twice is fine; only a pending login can be decided. */
export async function decideDeviceLogin(
  db: Queryable,
  decision: { userCode: string; userId: string; status: "approved" | "denied" },
): Promise<DeviceStatus | Refusal> {
  const decided = await deviceLoginDecide(db, { user_code: decision.userCode, user_id: decision.userId, status: decision.status });
  if (decided) return statusView(decided);
  const row = await deviceLoginByUserCode(db, decision.userCode);
  if (!row) return notFound("device login not found");
  if (row.status === decision.status && row.user_id === decision.userId) return statusView(row);
  return invalid(`the device login is already ${row.status}`);
}

export async function exchangeDeviceCode(db: Db, deviceCode: string): Promise<DeviceExchange> {
  if (!isIssuedForm(deviceCode, credentialPrefix.deviceCode)) return { kind: "refused", error: "invalid_request" };
  const hash = credentialHash(deviceCode);
  // Most polls find a pending login: they take no lock.
  const seen = answerOf(await deviceLoginByCode(db, hash));
  return seen === "approved" ? db.tx((tx) => exchangeApproved(tx, hash)) : seen;
}

/** The row lock lets one of several exchanges through; the others find it consumed. */
async function exchangeApproved(tx: Tx, hash: Buffer): Promise<DeviceExchange> {
  const row = await deviceLoginLockByCode(tx, hash);
  const answer = answerOf(row);
  if (answer !== "approved" || !row?.user_id) return answer === "approved" ? { kind: "refused", error: "invalid_request" } : answer;
  const memberships = await membershipsLock(tx, row.user_id);
  if (memberships.length > 0 && memberships.every((membership) => membership.status === "disabled")) {
    await deviceLoginSetStatus(tx, row.id, "denied");
    return { kind: "refused", error: "access_denied" };
  }
  await deviceLoginSetStatus(tx, row.id, "consumed");
  const token = await openLoginSession(tx, row.user_id, "device");
  return { kind: "token", token: { access_token: token, token_type: "bearer", expires_in_seconds: accountLimits.loginSessionMs / 1_000 } };
}

function answerOf(row: DeviceLoginRow | undefined): DeviceExchange | "approved" {
  switch (row?.status) {
    case "pending":
      return { kind: "pending" };
    case "approved":
      return "approved";
    case "denied":
      return { kind: "refused", error: "access_denied" };
    case "expired":
      return { kind: "refused", error: "expired_token" };
    default:
      return { kind: "refused", error: "invalid_request" };
  }
}

function statusView(row: DeviceLoginRow): DeviceStatus {
  return row.status === "pending" || row.status === "approved"
    ? { status: row.status, expires_at: row.expires_at }
    : { status: row.status };
}
