/** Roles, permissions and API-key scopes of http §1.5. */
export const permissionScopes = {
  "runs.create": "runs:create",
  "runs.read": "runs:read",
  "runs.manage": "runs:manage",
  "session.streams.read": "session-streams:read",
  "session.input.send": "session-input:send",
  "session.output.append": "session-output:append",
  "tokens.create": "tokens:create",
  "tokens.read": "tokens:read",
  "tokens.complete": "tokens:complete",
  "tokens.cancel": "tokens:cancel",
  "workspace.lifecycle.manage": "workspace-lifecycle:manage",
  "workspace.files.read": "workspace-files:read",
  "workspace.files.write": "workspace-files:write",
  "workspace.versions.read": "workspace-versions:read",
  "workspace.versions.capture": "workspace-versions:capture",
  "workspace.versions.restore": "workspace-versions:restore",
  "workspace.versions.diff": "workspace-versions:diff",
  "workspace.exec.create": "workspace-exec:create",
  "workspace.exec.read": "workspace-exec:read",
  "workspace.exec.manage": "workspace-exec:manage",
  "workspace.pty.create": "workspace-pty:create",
  "workspace.pty.read": "workspace-pty:read",
  "workspace.pty.manage": "workspace-pty:manage",
  "workspace.ports.expose": "workspace-ports:expose",
  "workspace.ports.read": "workspace-ports:read",
  "workspace.ports.close": "workspace-ports:close",
  "secrets.write": "secrets:write",
  "tasks.deploy": "tasks:deploy",
} as const;

/** Permissions that belong to people only; a key is never granted one. */
export const accountPermissions = ["api_keys.manage", "members.manage", "projects.manage"] as const;

export type ScopedPermission = keyof typeof permissionScopes;
export type Permission = ScopedPermission | (typeof accountPermissions)[number];
export type ApiKeyScope = (typeof permissionScopes)[ScopedPermission];
export type Role = "owner" | "admin" | "developer" | "viewer";

const scoped = Object.keys(permissionScopes) as ScopedPermission[];
const all: readonly Permission[] = [...scoped, ...accountPermissions];
const viewer: readonly Permission[] = [
  "runs.read",
  "session.streams.read",
  "tokens.read",
  "workspace.files.read",
  "workspace.versions.read",
  "workspace.exec.read",
  "workspace.pty.read",
  "workspace.ports.read",
];

export const rolePermissions: Record<Role, readonly Permission[]> = {
  owner: all,
  admin: all,
  developer: scoped.filter((permission) => permission !== "secrets.write"),
  viewer,
};

export const workspacePermissions: readonly ScopedPermission[] = scoped.filter((permission) => permission.startsWith("workspace."));

const byScope = new Map<string, ScopedPermission>(scoped.map((permission) => [permissionScopes[permission], permission]));

export function permissionOfScope(scope: string): ScopedPermission | undefined {
  return byScope.get(scope);
}
