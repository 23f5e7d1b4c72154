/**
 * How a single-machine install hands its key and login link to the person at that machine: `local.json` in the state directory, readable by
 * its owner only. Written at each start; SIGUSR2 asks for a fresh login link, since each one works once.
 */
import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Config } from "../config.ts";
import { ensureLocalInstall } from "../operations/ensure-local-install.ts";
import type { Parts } from "./wire.ts";

interface LocalHandoff {
  api_url: string;
  api_key: string;
  login_url: string;
}

/** Returns what stops it. */
export async function handOff(config: Config, { accounts, telemetry }: Parts): Promise<() => void> {
  const file = join(config.stateDirectory, "local.json");
  const write = async (): Promise<void> => {
    const present = await readFile(file, "utf8").then(
      (text) => (JSON.parse(text) as Partial<LocalHandoff>).api_key,
      // No file yet, or one that a crash cut short: a new key takes the place of the old one.
      () => undefined,
    );
    const install = await ensureLocalInstall({ db: accounts.db, hints: accounts.hints, publicUrl: config.publicUrl }, present);
    const handoff: LocalHandoff = { api_url: config.publicUrl, api_key: install.apiKey, login_url: install.loginUrl };
    await writeFile(`${file}.new`, `${JSON.stringify(handoff)}\n`, { mode: 0o600 });
    await rename(`${file}.new`, file);
  };
  await write();
  const refresh = () => {
    write().catch((error: unknown) => telemetry.emit("database_connection_lost", { error: error }));
  };
  process.on("SIGUSR2", refresh);
  return () => void process.off("SIGUSR2", refresh);
}
