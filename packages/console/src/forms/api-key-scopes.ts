/** What a key may be allowed, in words. A test holds the table to the list of the protocol. */
import type { ApiKeyScope } from "@helmr/protocol/shared";

interface ScopeGroup {
  title: string;
  scopes: Partial<Record<ApiKeyScope, string>>;
}

const groups = {
  runs: {
    title: "Runs and sessions",
    scopes: {
      "runs:create": "Start sessions, manage schedules",
      "runs:read": "See sessions, runs and logs",
      "runs:manage": "Cancel and close",
      "session-streams:read": "Read streams",
      "session-input:send": "Send input",
      "session-output:append": "Append output",
    },
  },
  tokens: {
    title: "Tokens",
    scopes: {
      "tokens:create": "Create",
      "tokens:read": "See",
      "tokens:complete": "Complete",
      "tokens:cancel": "Cancel",
    },
  },
  deploy: { title: "Deploy", scopes: { "tasks:deploy": "Deploy and promote", "secrets:write": "Set and delete secrets" } },
  workspaces: {
    title: "Workspaces",
    scopes: {
      "workspace-lifecycle:manage": "Create, stop, delete",
      "workspace-files:read": "Read files",
      "workspace-files:write": "Write files",
      "workspace-versions:read": "See versions",
      "workspace-versions:capture": "Capture versions",
      "workspace-versions:restore": "Restore versions",
      "workspace-versions:diff": "Compare versions",
      "workspace-exec:create": "Start processes",
      "workspace-exec:read": "See processes",
      "workspace-exec:manage": "Write to processes",
      "workspace-pty:create": "Open terminals",
      "workspace-pty:read": "See terminals",
      "workspace-pty:manage": "Use terminals",
      "workspace-ports:expose": "Expose ports",
      "workspace-ports:read": "See ports",
      "workspace-ports:close": "Close ports",
    },
  },
} as const satisfies Record<string, ScopeGroup>;

export const scopeGroups: readonly { title: string; scopes: readonly { scope: ApiKeyScope; label: string }[] }[] = Object.values(
  groups,
).map(({ title, scopes }) => ({
  title,
  scopes: Object.entries(scopes).map(([scope, label]) => ({ scope: scope as ApiKeyScope, label })),
}));

/** What most keys are for. */
export const presets: readonly { label: string; scopes: readonly ApiKeyScope[] }[] = [
  {
    label: "Start and follow",
    scopes: ["runs:create", "runs:read", "session-streams:read", "session-input:send", "tokens:complete", "tokens:read"],
  },
  { label: "Deploy from CI", scopes: ["tasks:deploy", "runs:read", "secrets:write"] },
  { label: "Read only", scopes: ["runs:read", "session-streams:read", "tokens:read", "workspace-files:read", "workspace-versions:read"] },
];
