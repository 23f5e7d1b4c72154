import { execFile } from "node:child_process";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { logger, metadata, sandbox, task } from "@helmr/sdk";
import * as z from "zod";
import { type LanguageCount, countByLanguage } from "../lib/line-count.ts";
import { fetchPackage } from "../lib/registry.ts";

const run = promisify(execFile);

const packageName = /^(@[a-z0-9-~][a-z0-9-._~]*\/)?[a-z0-9-~][a-z0-9-._~]*$/;

export interface AuditReport {
  name: string;
  version: string;
  integrity: string;
  tarballBytes: number;
  files: number;
  lines: number;
  bytes: number;
  languages: Record<string, LanguageCount>;
  /** Of the unpacked package, in the git repository of the workspace. */
  commit: string;
  tools: { node: string; git: string; bash: string };
}

export const packageAudit = task({
  id: "package-audit",
  sandbox: sandbox("audit").resources({ cpu: 1, memory: "1Gi" }),
  maxDuration: 600,
  payload: z.object({ name: z.string().regex(packageName), version: z.string().min(1).optional() }),
  async run({ name, version }, ctx): Promise<AuditReport> {
    const { signal } = ctx;
    const folder = join(ctx.workspace.path, "package");

    await metadata.patch({ step: "fetching", package: name });
    const tarball = await fetchPackage({ name, version }, signal);
    logger.info(`fetched ${tarball.name}@${tarball.version}`, { bytes: tarball.bytes.length });

    await metadata.patch({ step: "unpacking", version: tarball.version });
    await unpack(tarball.bytes, { workspace: ctx.workspace.path, folder, signal });

    await metadata.set("step", "committing");
    const commit = await commitAll(folder, `${tarball.name}@${tarball.version}`, signal);

    await metadata.set("step", "counting");
    const paths = await trackedFiles(folder, signal);
    const languages = await countByLanguage(folder, paths);
    for (const [language, { files }] of Object.entries(languages)) await metadata.increment(`files.${language}`, files);

    const totals = Object.values(languages);
    const report: AuditReport = {
      name: tarball.name,
      version: tarball.version,
      integrity: tarball.integrity,
      tarballBytes: tarball.bytes.length,
      files: sum(totals.map(({ files }) => files)),
      lines: sum(totals.map(({ lines }) => lines)),
      bytes: sum(totals.map(({ bytes }) => bytes)),
      languages,
      commit,
      tools: await toolVersions(signal),
    };
    await writeFile(join(ctx.workspace.path, "report.json"), `${JSON.stringify(report, null, 2)}\n`);
    await metadata.patch({ step: "done", files: report.files, lines: report.lines });
    console.log(`${report.name}@${report.version}: ${report.files} files, ${report.lines} lines`);
    return report;
  },
});

/** The workspace may hold an earlier audit: a new one starts from nothing. */
async function unpack(
  bytes: Buffer,
  { workspace, folder, signal }: { workspace: string; folder: string; signal: AbortSignal },
): Promise<void> {
  const archive = join(workspace, "package.tgz");
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder);
  await writeFile(archive, bytes);
  await run("tar", ["-xzf", archive, "--strip-components=1", "--no-same-owner", "-C", folder], { signal });
  await rm(archive);
}

/** A package may bring a .gitignore of its own: everything is added all the same. */
async function commitAll(folder: string, message: string, signal: AbortSignal): Promise<string> {
  const git = async (...words: string[]): Promise<string> => (await run("git", ["-C", folder, ...words], { signal })).stdout.trim();
  await git("init", "--quiet", "--initial-branch=main");
  await git("add", "--all", "--force");
  await git("-c", "user.name=Package audit", "-c", "user.email=audit@localhost", "commit", "--quiet", "--message", message);
  return await git("rev-parse", "HEAD");
}

async function trackedFiles(folder: string, signal: AbortSignal): Promise<string[]> {
  const { stdout } = await run("git", ["-C", folder, "ls-files", "-z"], { signal, maxBuffer: 64 * 1024 * 1024 });
  return stdout.split("\0").filter((path) => path !== "");
}

async function toolVersions(signal: AbortSignal): Promise<AuditReport["tools"]> {
  const git = await run("git", ["--version"], { signal });
  const bash = await run("bash", ["-c", "echo $BASH_VERSION"], { signal });
  return { node: process.version, git: git.stdout.trim().replace("git version ", ""), bash: bash.stdout.trim() };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
