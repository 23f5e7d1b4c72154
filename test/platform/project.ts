/** A deployed and promoted project without a real build: the source is uploaded over HTTP, a fake worker answers the build lease with an index. */
import { createHash } from "node:crypto";
import type { ProjectIndex } from "@helmr/protocol/guest";
import { pack } from "tar-stream";
import { type ControlPlane } from "./control-plane.ts";
import { type FakeWorker, fakeWorker, newArtifact } from "./fake-worker.ts";
import type { WireAnswer, WireClient } from "./wire-client.ts";

export type ProjectShape = Partial<ProjectIndex>;

const box = { id: "box", workspacePath: "/workspace", resources: {}, network: { internet: true } };

export function projectIndex(shape: ProjectShape = {}): ProjectIndex {
  return { tasks: [taskDeclaration("hello")], sandboxes: [box], images: {}, queues: [], streams: [], ...shape };
}

export function taskDeclaration(id: string, over: Partial<ProjectIndex["tasks"][number]> = {}): ProjectIndex["tasks"][number] {
  return { id, file: `tasks/${id}.ts`, module: `tasks/${id}.mjs`, exportName: id, sandbox: "box", secrets: [], ...over };
}

export async function tarOf(files: Record<string, string>): Promise<Buffer> {
  const archive = pack();
  for (const [name, text] of Object.entries(files)) archive.entry({ name, mtime: new Date(0) }, text);
  archive.finalize();
  const parts: Buffer[] = [];
  for await (const part of archive as AsyncIterable<Buffer>) parts.push(part);
  return Buffer.concat(parts);
}

export const contentHash = (bytes: Buffer) => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;

/** The multipart body of an upload; parts may be changed to make a bad one. */
export function multipart(parts: { name: string; filename?: string; value: string | Buffer }[]): {
  body: Buffer;
  headers: Record<string, string>;
} {
  const boundary = "helmr-test-boundary";
  const chunks = parts.flatMap(({ name, filename, value }) => [
    Buffer.from(
      `--${boundary}\r\ncontent-disposition: form-data; name="${name}"${filename === undefined ? "" : `; filename="${filename}"`}\r\n\r\n`,
    ),
    Buffer.from(value as string),
    Buffer.from("\r\n"),
  ]);
  return {
    body: Buffer.concat([...chunks, Buffer.from(`--${boundary}--\r\n`)]),
    headers: { "content-type": `multipart/form-data; boundary=${boundary}` },
  };
}

export function upload(api: WireClient, source: Buffer, path = "/api/deployments"): Promise<WireAnswer> {
  const { body, headers } = multipart([
    { name: "metadata", value: JSON.stringify({ content_hash: contentHash(source) }) },
    { name: "deployment_source", filename: "source.tar", value: source },
  ]);
  return api.call("POST", path, { body, headers });
}

/** Completes one build lease with the index. */
export async function buildWith(worker: FakeWorker, index: ProjectIndex): Promise<"deployed" | "failed" | "requeued"> {
  const [lease] = await worker.claim({ kinds: ["build"], wait_ms: 10_000 });
  if (lease?.kind !== "build") throw new TypeError("no build lease was given");
  const fenced = { lease_id: lease.lease_id, fence: lease.fence };
  const result = { status: "built" as const, index, task_tree: newArtifact(lease.deployment.org_id), images: [] };
  const { state } = await worker.post("buildComplete", { ...fenced, report_through: 0, result }, lease.deployment.id);
  (worker.held as Map<string, unknown>).delete(lease.lease_id);
  return state;
}

let uploads = 0;

/** Uploads, builds and promotes; returns the deployment's id. */
export async function deployProject(
  plane: Pick<ControlPlane, "api" | "url" | "enrollmentSecret">,
  shape: ProjectShape = {},
): Promise<string> {
  uploads += 1;
  const source = await tarOf({ "package.json": JSON.stringify({ name: "test", version: `1.0.${uploads}` }) });
  const created = await upload(plane.api, source);
  if (created.status !== 201) throw new TypeError(`the upload was refused: ${created.text}`);
  const builder = await fakeWorker({ url: plane.url, enrollmentSecret: plane.enrollmentSecret, claims: false, name: "builder" });
  const state = await buildWith(builder, projectIndex(shape));
  await builder.stop();
  const { id } = created.json as { id: string };
  if (state !== "deployed") throw new TypeError(`the build ended as ${state}`);
  const promoted = await plane.api.call("POST", `/api/deployments/${id}/promote`, { body: {} });
  if (promoted.status !== 200) throw new TypeError(`the promotion was refused: ${promoted.text}`);
  return id;
}
