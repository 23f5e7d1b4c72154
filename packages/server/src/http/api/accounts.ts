/** Every route of accounts and keys (http §10, §15), in the order of the contract. */
import type { AccountContext } from "../../account-context.ts";
import type { Routes } from "../route.ts";
import { addApiKeyRoutes } from "./api-keys.ts";
import { addAuthRoutes } from "./auth.ts";
import { addInvitationRoutes, addMemberRoutes } from "./members.ts";
import { addEnvironmentRoutes, addProjectRoutes } from "./projects.ts";
import { addSecretRoutes } from "./secrets.ts";

export function addAccountRoutes(routes: Routes, context: AccountContext): void {
  addSecretRoutes(routes, context);
  addAuthRoutes(routes, context);
  addProjectRoutes(routes, context);
  addEnvironmentRoutes(routes, context);
  addApiKeyRoutes(routes, context);
  addMemberRoutes(routes, context);
  addInvitationRoutes(routes, context);
}
