/** A valid request for every endpoint of accounts and keys, on things of the own tenant that exist, made fresh where the request uses them up. */
import type { Environment, InvitationCreated, Project } from "@helmr/protocol/api";
import { type Accounts, type Tenant, addMember } from "../../packages/server/src/operations/accounts.fixture.ts";
import { createEnvironment } from "../../packages/server/src/operations/change-environments.ts";
import { createProject } from "../../packages/server/src/operations/change-projects.ts";
import { inviteMember } from "../../packages/server/src/operations/invite-members.ts";
import { issueApiKey } from "../../packages/server/src/operations/issue-api-keys.ts";
import { startDeviceLogin } from "../../packages/server/src/operations/log-in-by-device.ts";
import { putSecret } from "../../packages/server/src/operations/put-secret.ts";

export interface World {
  accounts: Accounts;
  own: Tenant;
  foreign: Tenant;
  /** What the own tenant has promoted. */
  deploymentId: string;
  /** A request with a key of the own tenant that may do everything. */
  call: (method: string, path: string, body?: unknown) => Promise<{ status: number; json: unknown }>;
}

export interface AccountRequest {
  params?: Record<string, string>;
  query?: string;
  body?: unknown;
  /** Statuses for callers of the own tenant who are allowed; default: those of the table. */
  own?: readonly number[];
  /** Statuses for allowed callers of another organization; default 404. 200 and 201: they get, or make, something of their own. */
  foreign?: readonly number[];
  withoutCredential?: boolean;
}

type Build = (world: World) => AccountRequest | Promise<AccountRequest>;

let count = 0;
const fresh = (what: string) => `${what}-${(count += 1)}`;

const project = async ({ accounts, own }: World) =>
  ((await createProject(accounts.context.db, own.orgId, { slug: fresh("project"), name: "P" })) as Project).id;
const environment = async ({ accounts, own }: World) =>
  ((await createEnvironment(accounts.context.db, own, { slug: fresh("environment"), name: "E", color_hex: "#000000" })) as Environment).id;
const apiKey = async ({ accounts, own }: World) =>
  (await issueApiKey(accounts.context.db, { ...own, name: fresh("key"), scopes: ["runs:read"], expiresInDays: 30, creatorId: own.ownerId }))
    .id;
const member = ({ accounts, own }: World) => addMember(accounts, own, { email: `${fresh("member")}@example.com`, role: "viewer" });
const invitation = async ({ accounts, own }: World) =>
  (await inviteMember(accounts.context, {
    orgId: own.orgId,
    inviterId: own.ownerId,
    email: `${fresh("invited")}@example.com`,
    role: "viewer",
    expiresInDays: 1,
  })) as InvitationCreated;
const userCode = async ({ accounts }: World) => (await startDeviceLogin(accounts.context.db, accounts.context.settings)).user_code;

async function secret({ accounts, own }: World): Promise<string> {
  const name = fresh("SECRET");
  await putSecret(accounts.context.db, accounts.context.keys, { scope: own, name, value: "value" });
  return name;
}

const text = () => ({ slug: fresh("slug"), name: "Name" });
const environmentText = () => ({ ...text(), color_hex: "#123456" });
const ownData = [200] as const;

export const accountRequests: Readonly<Record<string, Build>> = {
  "secrets.list": () => ({ foreign: ownData }),
  "secrets.get": async (world) => ({ params: { name: await secret(world) } }),
  // A foreign key writes into its own environment.
  "secrets.put": async (world) => ({ params: { name: await secret(world) }, body: { value: "x" }, foreign: [200] }),
  "secrets.delete": async (world) => ({ params: { name: await secret(world) } }),

  "auth.methods": () => ({ foreign: ownData }),
  "auth.githubStart": () => ({ body: {}, own: [501], foreign: [501] }),
  "auth.githubInviteStart": () => ({ body: { token: "x" }, own: [501], foreign: [501] }),
  "auth.githubFinish": () => ({ body: {}, own: [501], foreign: [501] }),
  "auth.magicLinkStart": () => ({ body: { email: `${fresh("mail")}@example.com` }, foreign: [200] }),
  "auth.magicLinkInviteStart": async (world) => ({
    body: { token: new URL((await invitation(world)).invite_url).searchParams.get("token") },
    foreign: [200],
  }),
  "auth.magicLinkFinish": () => ({ body: { token: "wrong" }, own: [401], foreign: [401] }),
  "auth.deviceStart": () => ({ foreign: [201] }),
  "auth.deviceToken": () => ({ body: { device_code: "wrong" }, own: [400], foreign: [400] }),
  "auth.deviceStatus": async (world) => ({ query: `?user_code=${await userCode(world)}`, foreign: [200] }),
  "auth.deviceApprove": async (world) => ({ body: { user_code: await userCode(world) }, foreign: [200] }),
  "auth.deviceDeny": async (world) => ({ body: { user_code: await userCode(world) }, foreign: [200] }),
  // Whoever logs out is gone for the other requests.
  "auth.logout": () => ({ withoutCredential: true, own: [204], foreign: [204] }),
  "auth.me": () => ({ foreign: ownData }),
  "auth.createOrganization": () => ({ body: text(), own: [409], foreign: [409] }),

  "projects.list": () => ({ foreign: ownData }),
  "projects.get": ({ own }) => ({ params: { project: own.projectId } }),
  "projects.create": () => ({ body: text(), foreign: [201] }),
  "projects.update": async (world) => ({ params: { project: await project(world) }, body: text() }),
  "projects.delete": async (world) => ({ params: { project: await project(world) } }),
  "environments.get": ({ own }) => ({ params: { project: own.projectId, environment: own.stagingId } }),
  "environments.create": ({ own }) => ({ params: { project: own.projectId }, body: environmentText() }),
  "environments.update": async (world) => ({
    params: { project: world.own.projectId, environment: await environment(world) },
    body: environmentText(),
  }),
  "environments.delete": async (world) => ({ params: { project: world.own.projectId, environment: await environment(world) } }),
  // A key hears about itself, a login that this is not its route.
  "apiKeys.self": () => ({ own: [200, 400], foreign: [200, 400] }),
  "apiKeys.list": () => ({}),
  "apiKeys.create": () => ({ body: { name: "k", expires_in_days: null, permissions: [{ scopes: ["runs:read"] }] } }),
  "apiKeys.delete": async (world) => ({ params: { id: await apiKey(world) } }),
  "members.list": () => ({ foreign: ownData }),
  "members.update": async (world) => ({ params: { userID: await member(world) }, body: { role: "developer", expected_role: "viewer" } }),
  "members.delete": async (world) => ({ params: { userID: await member(world) } }),
  "invitations.list": () => ({ foreign: ownData }),
  "invitations.create": () => ({ body: { email: `${fresh("new")}@example.com`, role: "viewer" }, foreign: [201] }),
  "invitations.delete": async (world) => ({ params: { id: (await invitation(world)).id } }),
};
