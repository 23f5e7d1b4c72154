import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Deployment } from "@helmr/protocol/api";
import { apiVersion, bundleFormatVersion, helmrVersion, workerProtocolVersion } from "@helmr/protocol/shared";
import { command, jsonFlag, optionalArgument, scopeFlags, text, toggle } from "../command.ts";
import type { Context } from "../context.ts";
import { archiveEntries, writeArchive } from "../deploy/archive.ts";
import { loadConfig } from "../deploy/config.ts";
import { readEnvFile } from "../deploy/env-file.ts";
import { installMissing } from "../deploy/install.ts";
import { type ProjectPackage, installedSdkVersion, readProjectPackage } from "../deploy/package-file.ts";
import { type DeployReport, jsonReport, textReport } from "../deploy/report.ts";
import { waitForDeployment } from "../deploy/wait.ts";
import { Failure } from "../failure.ts";
import { ApiClient, type Credential, type Scope, scopeTexts } from "../http/api-client.ts";
import { deploymentUpload } from "../http/multipart.ts";
import { credentialFor, givenScope, requiredUrl } from "../settings/access.ts";
import { compoundDuration } from "../text/duration.ts";

const timeoutMsDefault = 20 * 60_000;

export const deploy = command({
  name: "deploy",
  summary: "build a project, wait for it and make it the current deployment",
  details:
    "Uploads the source of the project; its tasks are compiled and indexed in a virtual machine of Helmr. An unchanged project is not built again. " +
    "Left out: what ignorePatterns of helmr.config.ts says (else tests and files that begin with _), node_modules, .git, .helmr, .next, .env and .env.*.",
  examples: [
    { says: "the project in the current directory", command: "helmr deploy" },
    { says: "another one, with a login", command: "helmr deploy examples/hello --env production" },
    { says: "for a script: one JSON object per line", command: "helmr deploy --json" },
    { says: "try a build without making it current", command: "helmr deploy --skip-promotion" },
  ],
  needs: "nothing",
  args: { path: optionalArgument("PATH", "directory of the project; the current one without it") },
  flags: {
    ...scopeFlags,
    envFile: text("FILE", "variables for helmr.config.ts, KEY=VALUE per line"),
    detach: toggle("return once the source is uploaded"),
    skipPromotion: toggle("do not make it the current deployment"),
    timeout: compoundDuration("give up waiting for the build after this time; 20m without it, 0 for no limit"),
    ...jsonFlag,
  },
  async run(context) {
    const report = context.flags.json ? jsonReport(context) : textReport(context);
    try {
      await deployWith(context, report);
    } finally {
      await report.end();
    }
  },
});

type DeployContext = Pick<Context, "host" | "signal" | "apiUrlFlag"> & {
  args: { path: string | undefined };
  flags: {
    project: string | undefined;
    env: string | undefined;
    envFile: string | undefined;
    detach: boolean;
    skipPromotion: boolean;
    timeout: number | undefined;
  };
};

/** What can be refused without work is refused first: the project's package.json, then host, credential and scope. */
async function deployWith(context: DeployContext, report: DeployReport): Promise<void> {
  const { host, args, flags } = context;
  const directory = await projectDirectory(host.cwd, args.path ?? ".");
  const variables = flags.envFile === undefined ? {} : await readEnvFile(host.cwd, flags.envFile);
  const project = await readProjectPackage(directory);
  const url = await requiredUrl(host, context.apiUrlFlag);
  const credential = await credentialFor(host, url);
  const scope = givenScope(flags.project, flags.env);
  checkScope(credential, scope);

  await report.step("Preparing project");
  await installMissing(project, { host, apiUrl: url, onOutput: lastLine(report) });
  await report.step("Inspecting config");
  const config = await loadConfig({ directory, env: { ...variables, ...host.env }, signal: context.signal, onOutput: lastLine(report) });
  const clientScope = credential.kind === "login" ? { project: config.project, ...scope } : {};
  const api = new ApiClient({ baseUrl: url, credential, scope: clientScope, signal: context.signal });
  const deployment = await uploaded(project, { api, report, ignorePatterns: config.ignorePatterns });
  await report.created(deployment);
  if (flags.detach) return report.result("queued", deployment);

  const timeoutMs = flags.timeout ?? timeoutMsDefault;
  const built = await waitForDeployment({
    api,
    id: deployment.id,
    timeoutMs: timeoutMs > 0 ? timeoutMs : undefined,
    signal: context.signal,
    onEvent: (event) => report.event(event),
  });
  if (flags.skipPromotion) return report.result("deployed", built);
  await report.step("Promoting deployment");
  const promoted = await api.call("deployments.promote", { params: { id: built.id }, body: { reason: "deploy" } });
  // Promote answers without tasks; they are the same ones.
  return report.result("promoted", { ...promoted, tasks: built.tasks });
}

async function projectDirectory(cwd: string, given: string): Promise<string> {
  const directory = path.resolve(cwd, given);
  const found = await stat(directory).catch(() => undefined);
  if (found === undefined) throw new Failure(`${given} does not exist`);
  if (!found.isDirectory()) throw new Failure(`${given} is not a directory`);
  return directory;
}

/** The project may still come from the config, the environment may not. */
function checkScope(credential: Credential, scope: Partial<Scope>): void {
  if (credential.kind === "api_key" && Object.keys(scope).length > 0) throw new Failure(scopeTexts.unexpected);
  if (credential.kind === "login" && scope.environment === undefined) throw new Failure(scopeTexts.missing);
}

interface UploadOptions {
  api: ApiClient;
  report: DeployReport;
  ignorePatterns: readonly string[] | undefined;
}

async function uploaded(project: ProjectPackage, { api, report, ignorePatterns }: UploadOptions): Promise<Deployment> {
  await report.step("Creating archive");
  const temporary = await mkdtemp(path.join(tmpdir(), "helmr-deploy-"));
  try {
    const entries = await archiveEntries(project.directory, ignorePatterns);
    const archive = await writeArchive(project.directory, entries, path.join(temporary, "source.tar"));
    await report.step("Uploading deployment");
    const { contentType, body } = deploymentUpload({
      metadata: {
        content_hash: archive.contentHash,
        api_version: apiVersion,
        sdk_version: await installedSdkVersion(project),
        cli_version: helmrVersion,
        bundle_format_version: bundleFormatVersion,
        worker_protocol_version: workerProtocolVersion,
      },
      file: archive.file,
      bytes: archive.bytes,
      onProgress: (sent) =>
        report.progress(`${Math.floor((100 * sent) / Math.max(1, archive.bytes))} % of ${Math.ceil(archive.bytes / 1024)} KiB`),
    });
    return await api.upload("deployments.create", { contentType, body });
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

/** The line that another program printed last. */
function lastLine(report: DeployReport): (output: string) => void {
  return (output) => {
    const line = output.trim().split("\n").at(-1);
    if (line) report.progress(line);
  };
}
