import type { ApiKey } from "@helmr/protocol/api";
import { useQuery } from "@tanstack/react-query";
import { KeyRound, Plus } from "lucide-react";
import { useState } from "react";
import { call } from "../api/call.ts";
import { apiKeysQuery, scopeParams } from "../api/queries.ts";
import { apiKeyRule } from "../api/rules.ts";
import { type Scope, scopeKey } from "../api/scope.ts";
import { EmptyState, ListState } from "../components/list-states.tsx";
import { PageHeader } from "../components/page-header.tsx";
import { RelativeTime } from "../components/relative-time.tsx";
import { StatusBadge } from "../components/status-badge.tsx";
import { ApiKeyDialog } from "../forms/api-key-form.tsx";
import { useAction } from "../hooks/use-action.ts";
import { useReasonAgainst } from "../hooks/use-me.ts";
import { useQueryText } from "../hooks/use-query-text.ts";
import { useScope } from "../hooks/use-scope.ts";
import { Button } from "../ui/button.tsx";
import { Card } from "../ui/card.tsx";
import { useConfirm } from "../ui/confirm.tsx";
import { FilterBar, SelectFilter } from "../ui/filter-bar.tsx";
import { type Column, Table } from "../ui/table.tsx";

const statuses = [
  { value: "", label: "Active" },
  { value: "expired", label: "Expired" },
  { value: "revoked", label: "Revoked" },
  { value: "all", label: "All" },
];

const columns: readonly Column<ApiKey>[] = [
  { key: "name", title: "Name", render: ({ name }) => <span className="font-medium">{name}</span> },
  {
    key: "prefix",
    title: "Key",
    from: "sm",
    render: ({ key_prefix: prefix }) => <span className="font-mono text-xs text-muted">{prefix}…</span>,
  },
  { key: "status", title: "Status", render: ({ status }) => <StatusBadge of="apiKey" status={status} /> },
  {
    key: "scopes",
    title: "May",
    grow: true,
    from: "lg",
    render: ({ permissions = [] }) => {
      const text = permissions.flatMap(({ scopes }) => scopes).join(", ");
      return (
        <span data-tip={text} className="font-mono text-xs text-muted">
          {text}
        </span>
      );
    },
  },
  { key: "used", title: "Used", from: "md", align: "right", render: (key) => <RelativeTime at={key.last_used_at} /> },
  { key: "expires", title: "Expires", align: "right", render: (key) => <RelativeTime at={key.expires_at} /> },
];

export function ApiKeysPage() {
  const scope = useScope();
  const { status = "active" } = useQueryText();
  const keys = useQuery(apiKeysQuery(scope, status));
  const denied = useReasonAgainst("api_keys.manage");
  const [creating, setCreating] = useState(false);
  return (
    <>
      <PageHeader
        title="API keys"
        detail="For programs: each works in this environment and may do what is chosen, never more than its creator."
        actions={
          <Button look="primary" icon={<Plus />} reason={denied} onClick={() => setCreating(true)}>
            New API key
          </Button>
        }
      />
      <FilterBar>
        <SelectFilter name="status" label="Status" options={statuses} />
      </FilterBar>
      <Card flush>
        <ListState
          query={keys}
          empty={
            <EmptyState icon={<KeyRound />} title={status === "active" ? "No active key" : "No such key"}>
              Your services and your CI need one to start sessions and to deploy.
            </EmptyState>
          }
        >
          {(items) => (
            <Table
              label="API keys"
              rows={items}
              columns={columns}
              keyOf={({ id }) => id}
              actions={(key) => <RevokeKey scope={scope} apiKey={key} denied={denied} />}
            />
          )}
        </ListState>
      </Card>
      {creating ? <ApiKeyDialog scope={scope} onClose={() => setCreating(false)} /> : null}
    </>
  );
}

function RevokeKey({ scope, apiKey, denied }: { scope: Scope; apiKey: ApiKey; denied: string | undefined }) {
  const confirm = useConfirm();
  const revoke = useAction({
    run: () => call("apiKeys.delete", { params: { ...scopeParams(scope), id: apiKey.id } }),
    refresh: [[...scopeKey(scope), "api-keys"]],
    done: `Key ${apiKey.name} is revoked`,
  });
  const ask = async () => {
    const detail = "Whatever uses it is refused from now on. This cannot be undone.";
    if (await confirm({ title: `Revoke ${apiKey.name}?`, detail, action: "Revoke key" })) revoke.start();
  };
  return (
    <Button size="small" look="ghost" busy={revoke.busy} reason={apiKeyRule.revoke(apiKey) ?? denied} onClick={() => void ask()}>
      Revoke
    </Button>
  );
}
