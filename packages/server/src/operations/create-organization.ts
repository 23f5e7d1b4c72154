/**
 * The organization of an install (http §15.2). In self-hosted mode there is one, and whoever knows the setup token makes it and becomes its
 * owner. The check and the insert are one transaction under one lock, so that of two who try at once exactly one succeeds.
 */
import type { Me, Organization } from "@helmr/protocol/api";
import { rolePermissions } from "@helmr/protocol/shared";
import type { AccountSettings } from "../account-settings.ts";
import { required } from "../assert.ts";
import { sameSecret } from "../credentials.ts";
import { newId } from "../new-id.ts";
import { type Refusal, invalid, notFound, refusal } from "../outcome.ts";
import { type Queryable, type Tx, violatedConstraint } from "../store/db.ts";
import {
  memberInsertNew,
  membershipsLock,
  organizationExists,
  organizationInsert,
  organizationLockCreation,
} from "../store/organization.ts";
import { userPerson } from "../store/user.ts";
import type { AccountContext } from "../account-context.ts";
import { credentialsTopic } from "../account-limits.ts";

export interface CreateOrganization {
  userId: string;
  slug: string;
  name: string;
  setupToken: string | undefined;
}

export async function createOrganization(
  { db, hints, settings }: Pick<AccountContext, "db" | "hints" | "settings">,
  input: CreateOrganization,
): Promise<Organization | Refusal> {
  try {
    return await db.tx(async (tx) => {
      await organizationLockCreation(tx);
      const refused = await refuseCreation(tx, settings, input);
      if (refused) return refused;
      const row = required(await organizationInsert(tx, { id: newId(), slug: input.slug, name: input.name }), "An insert returns its row");
      await memberInsertNew(tx, { org_id: row.id, user_id: input.userId, role: "owner" });
      tx.afterCommit(() => hints.send(credentialsTopic));
      return row;
    });
  } catch (error) {
    if (violatedConstraint(error) === "organizations_slug_key") return invalid(`slug "${input.slug}" is already in use`);
    throw error;
  }
}

/** Existence is looked at before the token: once there is an organization, nobody learns here whether a token was right. */
async function refuseCreation(tx: Tx, settings: AccountSettings, input: CreateOrganization): Promise<Refusal | undefined> {
  const memberships = await membershipsLock(tx, input.userId);
  if (settings.mode === "managed") {
    return memberships.length > 0 ? refusal(409, "you already belong to an organization") : undefined;
  }
  if (await organizationExists(tx)) return refusal(409, "the organization already exists; ask one of its owners for an invitation");
  if (settings.setupToken === undefined) return refusal(403, "this server has no setup token; set HELMR_SETUP_TOKEN and restart it");
  if (!sameSecret(input.setupToken ?? "", settings.setupToken)) return refusal(403, "the setup token is wrong");
  return undefined;
}

/** Who is logged in, and what is missing before they can work. */
export async function readMe(db: Queryable, settings: AccountSettings, userId: string): Promise<Me | Refusal> {
  const person = await userPerson(db, userId);
  if (!person) return notFound("user not found");
  const mayCreate = settings.mode === "managed" || !person.any_organization;
  const member = person.org_id !== null;
  return {
    user_id: person.id,
    display_name: person.display_name,
    profile_image_url: person.profile_image_url,
    public_url: settings.publicUrl,
    ...(person.org_id === null ? {} : { org_id: person.org_id, org_name: person.org_name ?? "", org_slug: person.org_slug ?? "" }),
    ...(person.role === null ? {} : { role: person.role }),
    permissions: person.role === null ? [] : [...rolePermissions[person.role]],
    organization_required: !member && mayCreate,
    project_required: member && !person.any_project,
    access_required: !member && !mayCreate,
    setup_token_required: !member && mayCreate && settings.mode !== "managed",
  };
}
