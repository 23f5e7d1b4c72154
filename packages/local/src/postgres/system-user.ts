/** PostgreSQL refuses to run as root, so root runs it as a system user of our own; anybody else runs it as themselves. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";

const run = promisify(execFile);
const userName = "helmr-postgres";

export interface SystemUser {
  uid: number;
  gid: number;
}

export async function unprivilegedUser(): Promise<SystemUser | null> {
  if (process.getuid?.() !== 0) return null;
  const found = await lookUp();
  if (found) return found;
  await run("useradd", [
    "--system",
    "--user-group",
    "--no-create-home",
    "--home-dir",
    "/nonexistent",
    "--shell",
    "/usr/sbin/nologin",
    userName,
  ]).catch(
    // Two preparations at once: whoever came second finds the user below.
    () => undefined,
  );
  const created = await lookUp();
  if (created) return created;
  throw new PostgresUserError(`Cannot create the system user ${userName}. Run: useradd --system --user-group ${userName}`);
}

async function lookUp(): Promise<SystemUser | null> {
  try {
    const [uid, gid] = await Promise.all([run("id", ["-u", userName]), run("id", ["-g", userName])]);
    return { uid: Number(uid.stdout), gid: Number(gid.stdout) };
  } catch {
    // `id` fails when there is no such user.
    return null;
  }
}

export class PostgresUserError extends Error {
  override name = "PostgresUserError";
}
