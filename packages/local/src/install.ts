/** What an install decides once and keeps: its ports and the secret with which its worker enrolls. */
import { randomBytes } from "node:crypto";
import { createServer } from "node:net";
import { LocalError } from "./local-error.ts";
import { type StateLayout, readJson, writePrivate } from "./state.ts";

export interface Install {
  version: 1;
  apiPort: number;
  postgresPort: number;
  enrollmentSecret: string;
  createdAt: string;
}

const preferredApiPort = 8787;

/** Reads the install or makes it. A port that somebody else has taken meanwhile is replaced, unless HELMR_PORT asks for exactly one. */
export async function openInstall(layout: StateLayout, wantedPort: number | undefined): Promise<Install> {
  const known = await readJson<Install>(layout.install);
  const apiPort = await chooseApiPort(wantedPort, known?.apiPort);
  const postgresPort = known && (await isFree(known.postgresPort)) ? known.postgresPort : await freePort();
  const install: Install = {
    version: 1,
    apiPort,
    postgresPort,
    enrollmentSecret: known?.enrollmentSecret ?? `hlmr_we_${randomBytes(32).toString("base64url")}`,
    createdAt: known?.createdAt ?? new Date().toISOString(),
  };
  await writePrivate(layout.install, `${JSON.stringify(install, null, 2)}\n`);
  return install;
}

async function chooseApiPort(wanted: number | undefined, known: number | undefined): Promise<number> {
  if (wanted !== undefined) {
    if (await isFree(wanted)) return wanted;
    throw new LocalError(`Port ${wanted} is taken.`, "end what listens there, or choose another one with HELMR_PORT");
  }
  for (const port of [known, preferredApiPort]) if (port !== undefined && (await isFree(port))) return port;
  return freePort();
}

export async function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}

async function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address ? address.port : 0));
    });
  });
}
