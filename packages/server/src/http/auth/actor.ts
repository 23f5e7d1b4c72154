/** Who is calling (http §1.3), decided once per request by `authenticate.ts`; everything below works with this value only. */
import type { Permission, Role } from "@helmr/protocol/shared";

export type Actor =
  | { kind: "anonymous" }
  | {
      kind: "api_key";
      keyId: string;
      name: string;
      orgId: string;
      projectId: string;
      environmentId: string;
      permissions: ReadonlySet<Permission>;
    }
  | {
      kind: "user";
      userId: string;
      loginSessionId: string;
      /** Absent while the user belongs to no organization, or is disabled there. */
      membership?: { orgId: string; role: Role; permissions: ReadonlySet<Permission> };
      via: "cookie" | "bearer";
    };

/** What an environment route works in. All three ids belong together; they come from the key or from the path, never from a body. */
export interface Scope {
  orgId: string;
  projectId: string;
  environmentId: string;
}
