/**
 * Users of the image: name, home directory and ids behind a Docker `USER` text (`name`, `uid`, `name:group`, `uid:gid`). Read from the image's
 * own files, because nothing of the image may run to answer this.
 */
export interface Account {
  uid: number;
  gid: number;
  name: string;
  home: string;
}

export interface AccountFiles {
  passwd: string;
  group: string;
}

export type AccountLookup = { ok: true; account: Account } | { ok: false; problem: string };

export function findAccount(user: string, files: AccountFiles): AccountLookup {
  const [userPart = "", groupPart] = user.split(":", 2);
  const wanted = userPart === "" ? "root" : userPart;
  const account = passwdEntry(wanted, files.passwd) ?? unnamedAccount(wanted);
  if (account === undefined) return { ok: false, problem: `the image has no user "${wanted}" in /etc/passwd` };
  if (groupPart === undefined || groupPart === "") return { ok: true, account };
  const gid = groupId(groupPart, files.group);
  if (gid === undefined) return { ok: false, problem: `the image has no group "${groupPart}" in /etc/group` };
  return { ok: true, account: { ...account, gid } };
}

function passwdEntry(wanted: string, text: string): Account | undefined {
  for (const line of text.split("\n")) {
    const [name, , uid, gid, , home] = line.split(":");
    if (name === undefined || !isId(uid) || !isId(gid)) continue;
    if (name !== wanted && uid !== wanted) continue;
    return { uid: Number(uid), gid: Number(gid), name, home: home === undefined || home === "" ? "/" : home };
  }
  return undefined;
}

/** root exists everywhere; a number needs no entry. */
function unnamedAccount(wanted: string): Account | undefined {
  if (wanted === "root" || wanted === "0") return { uid: 0, gid: 0, name: "root", home: "/root" };
  if (isId(wanted)) return { uid: Number(wanted), gid: 0, name: wanted, home: "/" };
  return undefined;
}

function groupId(wanted: string, text: string): number | undefined {
  for (const line of text.split("\n")) {
    const [name, , gid] = line.split(":");
    if (name === wanted && isId(gid)) return Number(gid);
  }
  return isId(wanted) ? Number(wanted) : undefined;
}

function isId(text: string | undefined): text is string {
  return text !== undefined && /^\d{1,10}$/.test(text) && Number(text) < 2 ** 32 - 1;
}
