/**
 * Makes a single-machine install usable without a form: organization, local owner, project `default` with its environments, an API key with every
 * scope, a one-time login link. Called at each start; what is there already stays. The key is given out when it is made; the caller keeps it in
 * its state directory and hands it in at the next start. When that copy is lost or unknown here, a new key takes the place of the old one.
 */
import { type ApiKeyScope, permissionScopes } from "@helmr/protocol/shared";
import { required } from "../assert.ts";
import { credentialHash } from "../credentials.ts";
import type { Hints } from "../hints.ts";
import { newId } from "../new-id.ts";
import { apiKeyOfInstall, apiKeyRevokeOthersOfInstall } from "../store/api-key.ts";
import type { Db, Tx } from "../store/db.ts";
import {
  type OrganizationRow,
  memberInsertNew,
  membershipsLock,
  organizationInsert,
  organizationLockCreation,
  organizationOldest,
} from "../store/organization.ts";
import { environmentList, projectList } from "../store/project.ts";
import { userInsert, userLocal } from "../store/user.ts";
import { credentialsTopic } from "../account-limits.ts";
import { insertProject } from "./change-projects.ts";
import { issueApiKey } from "./issue-api-keys.ts";
import { issueLocalLink } from "./log-in-locally.ts";

export interface LocalInstall {
  orgId: string;
  projectId: string;
  environmentId: string;
  userId: string;
  /** The key that works: the one handed in, or a new one that the caller has to keep. */
  apiKey: string;
  apiKeyIsNew: boolean;
  loginUrl: string;
}

const allScopes: readonly ApiKeyScope[] = Object.values(permissionScopes);

export async function ensureLocalInstall(
  { db, hints, publicUrl }: { db: Db; hints: Hints; publicUrl: string },
  presentKey: string | undefined,
): Promise<LocalInstall> {
  return db.tx(async (tx) => {
    // Two starts at once make one install.
    await organizationLockCreation(tx);
    const organization = await ensureOrganization(tx);
    const userId = await ensureOwner(tx, organization.id);
    const { projectId, environmentId } = await ensureProject(tx, organization.id);
    const scope = { orgId: organization.id, projectId, environmentId };
    const key = await ensureKey(tx, scope, presentKey);
    const token = await issueLocalLink(tx);
    tx.afterCommit(() => hints.send(credentialsTopic));
    return { ...scope, userId, ...key, loginUrl: `${publicUrl}/dev/login?token=${token}` };
  });
}

async function ensureOrganization(tx: Tx): Promise<OrganizationRow> {
  const present = await organizationOldest(tx);
  return present ?? required(await organizationInsert(tx, { id: newId(), slug: "local", name: "Local" }), "An insert returns its row");
}

async function ensureOwner(tx: Tx, orgId: string): Promise<string> {
  const local = { id: newId(), email: null, display_name: "Local owner", profile_image_url: "", github_id: null, local_user: true };
  const user =
    (await userLocal(tx)) ?? required(await userInsert(tx, local), "The creation lock is held, so nobody else inserts the local user");
  // Whoever was removed or demoted on purpose stays so.
  if ((await membershipsLock(tx, user.id)).length === 0) await memberInsertNew(tx, { org_id: orgId, user_id: user.id, role: "owner" });
  return user.id;
}

async function ensureProject(tx: Tx, orgId: string): Promise<{ projectId: string; environmentId: string }> {
  const projects = await projectList(tx, orgId);
  const project =
    projects.find((row) => row.is_default) ?? projects[0] ?? (await insertProject(tx, orgId, { slug: "default", name: "Default" }));
  const environments = await environmentList(tx, [project.id]);
  const environment = environments.find((row) => row.is_default) ?? environments[0];
  return { projectId: project.id, environmentId: required(environment, "Every project has the environment production").id };
}

async function ensureKey(
  tx: Tx,
  scope: { orgId: string; projectId: string; environmentId: string },
  presentKey: string | undefined,
): Promise<{ apiKey: string; apiKeyIsNew: boolean }> {
  if (presentKey !== undefined && (await apiKeyOfInstall(tx, scope.environmentId, credentialHash(presentKey)))) {
    return { apiKey: presentKey, apiKeyIsNew: false };
  }
  const created = await issueApiKey(tx, { ...scope, name: "local install", scopes: allScopes, expiresInDays: null, creatorId: null });
  await apiKeyRevokeOthersOfInstall(tx, scope.environmentId, created.id);
  return { apiKey: created.raw_key, apiKeyIsNew: true };
}
