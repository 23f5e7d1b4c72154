/** `helmr test`: the same preparation as `up`, then every test that `.ci/run` runs. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { type HostPackage, hostPackages } from "@helmr/images/host-packages";
import { installPackages, missingPackages } from "./host-packages.ts";
import { repository } from "./prepare.ts";
import { openProgress } from "./progress.ts";

/** What only tests need; an install does without. */
const testPackages: readonly HostPackage[] = [
  { name: "docker-registry", provides: "/usr/bin/docker-registry", reason: "the registry that images of tests are pulled from" },
  { name: "skopeo", provides: "/usr/bin/skopeo", reason: "pushes images of tests to their registry" },
  { name: "umoci", provides: "/usr/bin/umoci", reason: "unpacks images as ours must come out" },
  {
    name: "chromium",
    provides: "/usr/bin/chromium",
    reason: "opens the web console as its users do (browsers of npm packages cannot be had everywhere)",
  },
];

export async function runTests(kinds: string[]): Promise<number> {
  const missing = await missingPackages([...hostPackages, ...testPackages]);
  if (missing.length > 0) {
    const progress = openProgress();
    progress.step(`Installing Debian packages: ${missing.map(({ name }) => name).join(" ")}`);
    await installPackages(missing, (line) => progress.detail(line));
  }
  const child = spawn(process.execPath, [join(repository, "scripts/test.ts"), ...kinds], { stdio: "inherit", cwd: repository });
  const pass = (signal: NodeJS.Signals) => child.kill(signal);
  process.on("SIGTERM", pass);
  process.on("SIGINT", () => undefined);
  return new Promise((resolve) => {
    child.once("error", () => resolve(1));
    child.once("close", (code) => resolve(code ?? 1));
  });
}
