/** Debian packages this machine needs and does not have; installed with the reason said first. */
import { spawn } from "node:child_process";
import { access } from "node:fs/promises";
import { type HostPackage, hostPackages } from "@helmr/images/host-packages";
import { LocalError } from "./local-error.ts";

export async function missingPackages(wanted: readonly HostPackage[] = hostPackages): Promise<HostPackage[]> {
  const present = await Promise.all(
    wanted.map(({ provides }) =>
      access(provides).then(
        () => true,
        () => false,
      ),
    ),
  );
  return wanted.filter((_, index) => !present[index]);
}

export function installCommand(packages: readonly HostPackage[]): string {
  return `apt-get install -y --no-install-recommends ${packages.map(({ name }) => name).join(" ")}`;
}

export async function installPackages(packages: readonly HostPackage[], say: (line: string) => void): Promise<void> {
  const names = packages.map(({ name }) => name);
  if (process.getuid?.() !== 0) {
    throw new LocalError(`These Debian packages are missing: ${names.join(", ")}.`, `sudo ${installCommand(packages)}`);
  }
  for (const { name, reason } of packages) say(`  ${name}: ${reason}`);
  const first = await apt(["install", "-y", "--no-install-recommends", ...names]);
  if (first.ok) return;
  // The package lists of a fresh machine are empty or old.
  await apt(["update"]);
  const second = await apt(["install", "-y", "--no-install-recommends", ...names]);
  if (!second.ok) throw new LocalError(`apt-get could not install ${names.join(", ")}: ${second.tail}`, installCommand(packages));
}

async function apt(args: string[]): Promise<{ ok: boolean; tail: string }> {
  const child = spawn("apt-get", ["-o", "DPkg::Lock::Timeout=120", "-o", "Dpkg::Use-Pty=0", "-q", ...args], {
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  const keep = (data: Buffer) => {
    output = (output + data.toString()).slice(-4_000);
  };
  child.stdout.on("data", keep);
  child.stderr.on("data", keep);
  const ok = await new Promise<boolean>((resolve) => {
    child.once("error", () => resolve(false));
    child.once("close", (code) => resolve(code === 0));
  });
  return { ok, tail: output.trim().split("\n").slice(-3).join(" | ") };
}
