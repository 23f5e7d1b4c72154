/** `helmr doctor`: what this machine has for an install, and for every failure one line that starts with `FIX:`. Changes nothing. */
import { execFile } from "node:child_process";
import { access, constants, readFile, statfs, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { installCommand, missingPackages } from "./host-packages.ts";
import { type Install, isFree } from "./install.ts";
import { repository } from "./prepare.ts";
import { findState, readJson } from "./state.ts";
import { presentSupervisor } from "./supervise.ts";

const run = promisify(execFile);
const needs = { diskGiB: 8, memoryGiB: 3 };
const accelerationLimitMs = 20_000;

interface Finding {
  check: string;
  /** A warning works, but worse than it could. */
  outcome: "ok" | "warning" | "failure";
  message: string;
  fix?: string;
}

/** true when nothing failed. */
export async function doctor(stateDirectory: string, options: { json: boolean }): Promise<boolean> {
  const checks = [checkSystem, checkUser, checkPackages, checkMemory, checkDisk, checkPorts, checkAcceleration];
  const findings: Finding[] = [];
  for (const check of checks) findings.push(...[await check(stateDirectory)].flat());
  if (options.json) process.stdout.write(`${JSON.stringify({ findings })}\n`);
  else for (const finding of findings) process.stdout.write(describe(finding));
  return findings.every(({ outcome }) => outcome !== "failure");
}

function describe({ check, outcome, message, fix }: Finding): string {
  const mark = { ok: "ok  ", warning: "note", failure: "FAIL" }[outcome];
  return `${mark}  ${check.padEnd(13)} ${message}\n${outcome === "failure" ? `FIX: ${fix}\n` : ""}`;
}

async function checkSystem(): Promise<Finding> {
  const release = await readFile("/etc/os-release", "utf8").catch(() => "");
  const name = /^PRETTY_NAME="?([^"\n]+)/m.exec(release)?.[1] ?? "an unknown system";
  if (process.platform !== "linux" || process.arch !== "x64") {
    return {
      check: "system",
      outcome: "failure",
      message: `${process.platform} ${process.arch} is not supported`,
      fix: "use a Linux x86-64 machine with Debian 12",
    };
  }
  const known = /^ID(_LIKE)?="?.*debian/m.test(release);
  return { check: "system", outcome: known ? "ok" : "warning", message: known ? name : `${name}: only Debian 12 is tested` };
}

async function checkUser(): Promise<Finding> {
  if (process.getuid?.() === 0)
    return { check: "user", outcome: "ok", message: "root; PostgreSQL and virtual machines run as users without rights" };
  return {
    check: "user",
    outcome: "failure",
    message: "not root: guests cannot be isolated and packages cannot be installed",
    fix: "run ./helmr as root, for example: sudo ./helmr up",
  };
}

async function checkPackages(): Promise<Finding> {
  const missing = await missingPackages();
  if (missing.length === 0) return { check: "packages", outcome: "ok", message: "all Debian packages are there" };
  const names = missing.map(({ name }) => name).join(", ");
  if (process.getuid?.() === 0) return { check: "packages", outcome: "warning", message: `missing: ${names}; ./helmr up installs them` };
  return { check: "packages", outcome: "failure", message: `missing: ${names}`, fix: `sudo ${installCommand(missing)}` };
}

async function checkMemory(): Promise<Finding> {
  const info = await readFile("/proc/meminfo", "utf8");
  const available = Number(/^MemAvailable:\s+(\d+)/m.exec(info)?.[1] ?? 0) / 1024 / 1024;
  const message = `${available.toFixed(1)} GiB of memory available`;
  if (available >= needs.memoryGiB) return { check: "memory", outcome: "ok", message };
  return {
    check: "memory",
    outcome: "failure",
    message: `${message}, ${needs.memoryGiB} GiB are needed`,
    fix: "end other programs or use a larger machine",
  };
}

async function checkDisk(stateDirectory: string): Promise<Finding> {
  const { data } = await findState(stateDirectory);
  const place = await existingParent(data);
  const { bavail, bsize } = await statfs(place);
  const free = (bavail * bsize) / 1024 ** 3;
  const message = `${free.toFixed(0)} GiB free for ${data}`;
  if (free >= needs.diskGiB) return { check: "disk", outcome: "ok", message };
  return {
    check: "disk",
    outcome: "failure",
    message: `${message}, ${needs.diskGiB} GiB are needed`,
    fix: "free space there, or set HELMR_STATE_DIR to a larger disk",
  };
}

async function existingParent(path: string): Promise<string> {
  for (let at = path; ; at = dirname(at)) {
    const there = await stat(at).catch(() => undefined);
    if (there) return at;
  }
}

async function checkPorts(stateDirectory: string): Promise<Finding> {
  const layout = await findState(stateDirectory);
  const running = await presentSupervisor(layout);
  if (running) return { check: "ports", outcome: "ok", message: `the install runs at ${running.apiUrl}` };
  const port = Number(process.env["HELMR_PORT"] || (await readJson<Install>(layout.install))?.apiPort || 8787);
  if (await isFree(port)) return { check: "ports", outcome: "ok", message: `port ${port} is free` };
  if (process.env["HELMR_PORT"])
    return {
      check: "ports",
      outcome: "failure",
      message: `port ${port} is taken`,
      fix: "choose another port with HELMR_PORT, or leave it out",
    };
  return { check: "ports", outcome: "warning", message: `port ${port} is taken; ./helmr up chooses another one` };
}

interface Acceleration {
  accelerator: string;
  explanation: string;
}

/** The worker's own probes, run by its own entry point. */
async function checkAcceleration(stateDirectory: string): Promise<Finding> {
  const qemu = "/usr/bin/qemu-system-x86_64";
  const there = await access(qemu, constants.X_OK).then(
    () => true,
    () => false,
  );
  if (!there)
    return {
      check: "accelerator",
      outcome: "warning",
      message: `${qemu} is not installed yet, so KVM could not be probed; ./helmr up installs it`,
    };
  const { data } = await findState(stateDirectory);
  const command = [join(repository, "packages/worker/src/probe-accelerator.ts"), join(data, "worker"), join(data, "guest")];
  try {
    const { stdout } = await run(process.execPath, command, { timeout: accelerationLimitMs });
    const { accelerator, explanation } = JSON.parse(stdout) as Acceleration;
    return { check: "accelerator", outcome: accelerator === "tcg" ? "warning" : "ok", message: explanation };
  } catch (error) {
    const { stderr, message } = error as { stderr?: string; message: string };
    return {
      check: "accelerator",
      outcome: "failure",
      message: `the probes could not run: ${stderr?.trim().split("\n").at(-1) || message}`,
      fix: `apt-get install --reinstall qemu-system-x86`,
    };
  }
}
