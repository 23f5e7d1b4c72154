/**
 * Secret placements (sdk §2.6). Values that become files are kept on a tmpfs by the guest tool and bound over their path, so that no disk and
 * no capture of the workspace ever has them. The task must be able to read what it was promised: a placement that the runtime user could
 * not read is refused before the program starts.
 */
import { rmdirSync, statSync } from "node:fs";
import type { SecretPlacement } from "@helmr/protocol/guest";
import { type AccountFiles, findAccount } from "./accounts.ts";
import { type ConfinedTree, PathError } from "./confined-tree.ts";
import { type GuestTool, GuestToolError, type PlacedFile } from "./guest-tool.ts";

export interface SecretGround {
  tool: GuestTool;
  /** The task's root. */
  root: ConfinedTree;
  accounts: AccountFiles;
  user: string;
  workspacePath: string;
}

export type SecretsPlaced = { ok: true; environment: Record<string, string> } | { ok: false; problem: string };

/** The secrets of one run: placed before its program starts, taken away when nothing of it is left. */
export class PlacedSecrets {
  private readonly ground: SecretGround;
  private readonly files: string[] = [];
  /** That did not exist before, outermost first. */
  private readonly directories: string[] = [];

  constructor(ground: SecretGround) {
    this.ground = ground;
  }

  async place(placements: readonly SecretPlacement[]): Promise<SecretsPlaced> {
    const environment: Record<string, string> = {};
    for (const placement of placements) {
      let problem: string | undefined;
      if (!("env" in placement)) problem = await this.placeFile(placedFile(placement, this.ground));
      else if (placement.env.startsWith("LD_")) problem = "cannot be placed: an environment variable must not begin with LD_";
      else environment[placement.env] = placement.value;
      if (problem !== undefined) return { ok: false, problem: `Secret ${placement.name} ${problem}` };
    }
    return { ok: true, environment };
  }

  /** What cannot be taken away ends with the machine. */
  async remove(): Promise<void> {
    for (const path of this.files.reverse()) await this.ground.tool.unplace(path).catch(() => {});
    for (const path of this.directories.reverse()) removeEmpty(this.ground.root, path);
  }

  private async placeFile(file: PlacedFile): Promise<string | undefined> {
    this.directories.push(...missingDirectories(this.ground.root, file.path));
    try {
      await this.ground.tool.place(file);
    } catch (error) {
      if (!(error instanceof GuestToolError)) throw error;
      return `cannot be placed at ${file.path}: ${error.message}`;
    }
    this.files.push(file.path);
    const problem = unreadable(file, this.ground);
    return problem === undefined ? undefined : `at ${file.path} could not be read by the task: ${problem}`;
  }
}

/** Directories above a path that are not there yet, outermost first. */
function missingDirectories(root: ConfinedTree, path: string): string[] {
  return directoriesAbove(path).filter((directory) => statIn(root, directory) === undefined);
}

function directoriesAbove(path: string): string[] {
  const parts = path.split("/").filter((part) => part !== "");
  return parts.slice(1).map((_part, index) => `/${parts.slice(0, index + 1).join("/")}`);
}

/** The task may have put something of its own into it; then it stays. */
function removeEmpty(root: ConfinedTree, path: string): void {
  try {
    const place = root.locate(path);
    try {
      rmdirSync(place.path);
    } finally {
      place.close();
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (!(error instanceof PathError) && code !== "ENOTEMPTY" && code !== "ENOENT" && code !== "ENOTDIR" && code !== "EROFS") throw error;
  }
}

function placedFile(placement: Exclude<SecretPlacement, { env: string }>, ground: SecretGround): PlacedFile {
  const owner = placement.owner ?? ground.user;
  const mode = placement.mode?.replace(/^0o/, "");
  if ("file" in placement) return { path: absolute(placement.file, ground), mode: mode ?? "0600", owner, value: placement.value };
  return {
    path: `${absolute(placement.dir, ground)}/${placement.name}`,
    mode: "0600",
    owner,
    value: placement.value,
    directoryMode: mode ?? "0700",
  };
}

function absolute(path: string, ground: SecretGround): string {
  return path.startsWith("/") ? path : `${ground.workspacePath}/${path}`;
}

interface Access {
  uid: number;
  gid: number;
  mode: number;
}

/** What keeps the runtime user from reading the file; root reads everything. */
function unreadable(file: PlacedFile, ground: SecretGround): string | undefined {
  const user = findAccount(ground.user, ground.accounts);
  const owner = findAccount(file.owner, ground.accounts);
  if (!user.ok) return user.problem;
  if (!owner.ok) return owner.problem;
  const reader = user.account;
  if (reader.uid === 0) return undefined;
  const access: Access = { uid: owner.account.uid, gid: owner.account.gid, mode: Number.parseInt(file.mode, 8) };
  if (!allows(access, reader, 4)) return `it belongs to ${file.owner} with mode ${file.mode}, and the task runs as ${ground.user}`;
  for (const directory of directoriesAbove(file.path)) {
    const status = statIn(ground.root, directory);
    if (status === undefined || !allows(status, reader, 1)) return `${ground.user} may not enter ${directory}`;
  }
  return undefined;
}

function allows(access: Access, reader: { uid: number; gid: number }, bit: number): boolean {
  if (access.uid === reader.uid) return (access.mode & (bit << 6)) !== 0;
  if (access.gid === reader.gid) return (access.mode & (bit << 3)) !== 0;
  return (access.mode & bit) !== 0;
}

function statIn(root: ConfinedTree, path: string): Access | undefined {
  try {
    const place = root.locate(path, { followLast: true });
    try {
      return statSync(place.path);
    } finally {
      place.close();
    }
  } catch (error) {
    if (error instanceof PathError || (error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
