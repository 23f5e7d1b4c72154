/**
 * A valid request for every endpoint of an environment's resources, on things of the own tenant that exist, made fresh where the request uses them up.
 * Callers of another organization reach these routes with their own keys only: in their environment nothing is deployed and nothing of ours is there.
 */
import type { AccountRequest, World } from "./account-requests.ts";

type Build = (world: World) => AccountRequest | Promise<AccountRequest>;

let count = 0;
const fresh = (what: string) => `${what}-${(count += 1)}`;
const someId = "01980a00-0000-7000-8000-00000000ffff";

interface StartedIds {
  session: string;
  run: string;
  workspace: string;
  externalId: string;
}

/** A queued run of ours: nothing takes it, because no worker is there. */
async function start({ call }: World): Promise<StartedIds> {
  const externalId = fresh("external");
  const answer = await call("POST", "/api/sessions", { task_id: "hello", external_id: externalId });
  const { session, run } = answer.json as { session: { id: string; workspace_id: string }; run: { id: string } };
  return { session: session.id, run: run.id, workspace: session.workspace_id, externalId };
}

const sessionOf = async (world: World) => {
  const { session, externalId } = await start(world);
  return { params: { id: session }, query: `?external_id=${externalId}` };
};
const runOf = async (world: World) => ({ params: { id: (await start(world)).run } });
const workspaceOf = async (world: World, more: Record<string, string> = {}) => ({
  params: { id: (await start(world)).workspace, ...more },
});

/** Created by the caller, when the own tenant has the route. */
async function created(world: World, path: string, body: unknown): Promise<string> {
  const answer = await world.call("POST", path, body);
  const value = answer.json as { id?: string; token?: { id: string } } | undefined;
  return value?.id ?? value?.token?.id ?? someId;
}

const token = (world: World) => created(world, "/api/tokens", {});
const schedule = (world: World) => created(world, "/api/schedules", { deduplication_key: fresh("schedule"), ...scheduleBody });
const scheduleBody = { task: "hello", cron: "0 6 * * *", timezone: "UTC" };
const list = () => ({ foreign: [200] as const });
/** The route needs a machine or a version with content, which nobody makes here: any answer about the resource itself will do. */
const about = [200, 201, 202, 400, 404, 409, 422, 503] as const;

export const environmentRequests: Readonly<Record<string, Build>> = {
  "tasks.list": () => ({ foreign: [200, 404] }),
  "tasks.get": () => ({ params: { taskID: "hello" } }),
  "sandboxes.list": () => ({ foreign: [200, 404] }),
  "sandboxes.get": () => ({ params: { sandboxID: "box" } }),

  "sessions.start": () => ({ body: { task_id: "hello" }, foreign: [404, 409] }),
  "sessions.startAndWait": () => ({ body: { task_id: "hello", timeout_seconds: 1 }, foreign: [404, 409] }),
  "sessions.list": list,
  "sessions.get": sessionOf,
  "sessions.update": async (world) => ({ ...(await sessionOf(world)), body: { tags: ["seen"] } }),
  "sessions.close": async (world) => ({ ...(await sessionOf(world)), body: {}, own: [409] }),
  "sessions.cancel": async (world) => ({ ...(await sessionOf(world)), body: {} }),
  "sessions.runs": sessionOf,
  "streams.list": sessionOf,
  "streams.appendInput": async (world) => streamOf(world, "in", { data: 1 }),
  "streams.listInput": async (world) => streamOf(world, "in"),
  "streams.appendOutput": async (world) => streamOf(world, "out", { data: 1 }),
  "streams.listOutput": async (world) => streamOf(world, "out"),
  "streams.readOutput": async (world) => streamOf(world, "out"),
  // Sessions name the scope in the body and the permission follows from the type: public-access.contract.ts asks for each of them what it must get.
  "publicAccessTokens.create": async (world) => ({
    body: { scope: { type: "session.input.send", stream: "in", session: { type: "id", id: (await start(world)).session } } },
    own: [201, 400, 403],
    foreign: [400, 403, 404],
  }),

  "runs.list": list,
  "runs.counts": list,
  "runs.get": runOf,
  "runs.cancel": async (world) => ({ ...(await runOf(world)), body: {} }),
  "runs.events": runOf,
  "runs.logs": runOf,

  "tokens.create": () => ({ body: {}, foreign: [201] }),
  "tokens.list": list,
  "tokens.get": async (world) => ({ params: { id: await token(world) } }),
  "tokens.complete": async (world) => ({ params: { id: await token(world) }, body: {} }),
  "tokens.cancel": async (world) => ({ params: { id: await token(world) } }),

  "schedules.list": list,
  "schedules.create": () => ({ body: { deduplication_key: fresh("schedule"), ...scheduleBody }, foreign: [400, 404, 409] }),
  "schedules.get": async (world) => ({ params: { id: await schedule(world) } }),
  "schedules.put": async (world) => ({ params: { id: await schedule(world) }, body: scheduleBody }),
  "schedules.delete": async (world) => ({ params: { id: await schedule(world) } }),
  "schedules.activate": async (world) => ({ params: { id: await schedule(world) } }),
  "schedules.deactivate": async (world) => ({ params: { id: await schedule(world) } }),

  // An upload that is none: what matters is that it was looked at.
  "deployments.create": () => ({ body: {}, own: [400], foreign: [400] }),
  "deployments.list": list,
  "deployments.current": list,
  "deployments.get": ({ deploymentId }) => ({ params: { id: deploymentId } }),
  "deployments.events": ({ deploymentId }) => ({ params: { id: deploymentId } }),
  "deployments.promote": ({ deploymentId }) => ({ params: { id: deploymentId }, body: {} }),

  "workspaces.create": () => ({ body: { sandbox_id: "box" }, foreign: [404, 409] }),
  "workspaces.list": list,
  "workspaces.get": (world) => workspaceOf(world),
  "workspaces.update": async (world) => ({ ...(await workspaceOf(world)), body: { tags: ["seen"] } }),
  "workspaces.delete": async (world) => ({ ...(await workspaceOf(world)), own: [200, 202, 204, 409] }),
  "workspaces.materialize": async (world) => ({ ...(await workspaceOf(world)), body: {}, own: about }),
  "workspaces.connect": async (world) => ({ ...(await workspaceOf(world)), body: {}, own: about }),
  "workspaces.stop": async (world) => ({ ...(await workspaceOf(world)), body: {}, own: about }),
  "versions.list": (world) => workspaceOf(world),
  "versions.get": (world) => workspaceOf(world, { versionID: someId }).then((request) => ({ ...request, own: [404] })),
  "versions.capture": async (world) => ({ ...(await workspaceOf(world)), body: {} }),
  "versions.restore": async (world) => ({ ...(await workspaceOf(world)), body: { version_id: someId }, own: [404] }),
  "versions.diff": (world) => workspaceOf(world),
  "versions.fileDiff": async (world) => ({ ...(await workspaceOf(world)), query: "?path=x", own: [404] }),
  "workspaces.fork": async (world) => ({ ...(await workspaceOf(world)), body: {} }),
  "files.list": async (world) => ({ ...(await workspaceOf(world)), own: about }),
  "files.stat": async (world) => ({ ...(await workspaceOf(world)), query: "?path=x", own: about }),
  "files.content": async (world) => ({ ...(await workspaceOf(world)), query: "?path=x", own: about }),
  "execs.create": async (world) => ({ ...(await workspaceOf(world)), body: { command: ["true"] }, own: about }),
  "execs.list": (world) => workspaceOf(world),
  ...Object.fromEntries(["get", "stdout", "stderr"].map((verb) => [`execs.${verb}`, execOf()])),
  "execs.writeStdin": execOf({ offset: 0, data: "eA==" }),
  "execs.closeStdin": execOf({}),
  "execs.signal": execOf({}),
  "ptys.create": async (world) => ({ ...(await workspaceOf(world)), body: { cols: 80, rows: 24 }, own: about }),
  "ptys.list": (world) => workspaceOf(world),
  "ptys.get": ptyOf(),
  "ptys.output": ptyOf(),
  "ptys.input": ptyOf({ offset: 0, data: "eA==" }),
  "ptys.resize": ptyOf({ cols: 80, rows: 24 }),
  "ptys.close": ptyOf({}),
  // A WebSocket, which nobody asks for here.
  "ptys.attach": async (world) => ({ ...(await workspaceOf(world, { ptyID: someId })), own: [426], foreign: [426] }),
  "ports.connect": async (world) => ({ ...(await workspaceOf(world, { port: "80" })), own: [426], foreign: [426] }),
  "ports.preview": async (world) => ({ ...(await workspaceOf(world, { port: "80" })), body: {} }),
  // Nothing is mounted, and no worker takes a mount: archived workspaces are refused at once.
  ...Object.fromEntries(["write", "upload"].map((verb) => [`files.${verb}`, archivedOf("?path=x")])),
  "files.mkdir": archivedOf(undefined, { path: "x" }),
  "files.move": archivedOf(undefined, { from: "x", to: "y" }),
  "files.remove": archivedOf("?path=x"),
  "files.download": async (world) => ({ ...(await workspaceOf(world)), query: "?path=.", own: [409] }),
};

async function streamOf(world: World, stream: string, body?: unknown): Promise<AccountRequest> {
  const { params, query } = await sessionOf(world);
  return { params: { ...params, stream }, query, ...(body === undefined ? {} : { body }) };
}

/** Needs a mounted workspace, so the exec itself is one that does not exist. */
function execOf(body?: unknown): Build {
  return async (world) => ({ ...(await workspaceOf(world, { execID: someId })), ...(body === undefined ? {} : { body }), own: [404] });
}

function ptyOf(body?: unknown): Build {
  return async (world) => ({ ...(await workspaceOf(world, { ptyID: someId })), ...(body === undefined ? {} : { body }), own: [404] });
}

/** A write would mount the workspace and wait for a worker; one that is archived is refused before that. */
function archivedOf(query?: string, body?: unknown): Build {
  return async (world) => {
    const request = await workspaceOf(world);
    await world.call("DELETE", `/api/workspaces/${request.params?.["id"]}?force=1`);
    return { ...request, ...(query === undefined ? {} : { query }), ...(body === undefined ? {} : { body }), own: [409] };
  };
}
