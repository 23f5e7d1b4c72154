import type { Secret } from "@helmr/protocol/api";
import { useQuery } from "@tanstack/react-query";
import { LockKeyhole, Plus, Trash2 } from "lucide-react";
import { useState } from "react";
import { call } from "../api/call.ts";
import { secretsQuery } from "../api/queries.ts";
import { type Scope, scopeKey } from "../api/scope.ts";
import { EmptyState, ListState } from "../components/list-states.tsx";
import { PageHeader } from "../components/page-header.tsx";
import { RelativeTime } from "../components/relative-time.tsx";
import { SecretDialog } from "../forms/secret-form.tsx";
import { useAction } from "../hooks/use-action.ts";
import { useReasonAgainst } from "../hooks/use-me.ts";
import { useScope } from "../hooks/use-scope.ts";
import { Button } from "../ui/button.tsx";
import { Card } from "../ui/card.tsx";
import { useConfirm } from "../ui/confirm.tsx";
import { type Column, Table } from "../ui/table.tsx";

const columns: readonly Column<Secret>[] = [
  { key: "name", title: "Name", render: ({ name }) => <span className="font-mono text-xs font-medium">{name}</span> },
  { key: "value", title: "Value", grow: true, from: "sm", render: () => <span className="text-faint">•••••••• never shown</span> },
  { key: "created", title: "Created", from: "md", align: "right", render: (secret) => <RelativeTime at={secret.created_at} /> },
  { key: "updated", title: "Changed", align: "right", render: (secret) => <RelativeTime at={secret.updated_at} /> },
];

export function SecretsPage() {
  const scope = useScope();
  const secrets = useQuery(secretsQuery(scope));
  const denied = useReasonAgainst("secrets.write");
  const [editing, setEditing] = useState<{ name?: string }>();
  return (
    <>
      <PageHeader
        title="Secrets"
        detail="Encrypted here, and given only to the tasks that declare them."
        actions={
          <Button look="primary" icon={<Plus />} reason={denied} onClick={() => setEditing({})}>
            New secret
          </Button>
        }
      />
      <Card flush>
        <ListState
          query={secrets}
          empty={
            <EmptyState
              icon={<LockKeyhole />}
              title="No secret yet"
              command={`helmr secret set GITHUB_TOKEN --project ${scope.project} --env ${scope.environment}`}
            >
              A task names the secrets it needs; set them here before it starts.
            </EmptyState>
          }
        >
          {(items) => (
            <Table
              label="Secrets"
              rows={items}
              columns={columns}
              keyOf={({ name }) => name}
              actions={({ name }) => (
                <>
                  <Button size="small" look="ghost" reason={denied} onClick={() => setEditing({ name })}>
                    Change
                  </Button>
                  <DeleteSecret scope={scope} name={name} reason={denied} />
                </>
              )}
            />
          )}
        </ListState>
      </Card>
      {editing ? <SecretDialog scope={scope} {...editing} onClose={() => setEditing(undefined)} /> : null}
    </>
  );
}

function DeleteSecret({ scope, name, reason }: { scope: Scope; name: string; reason: string | undefined }) {
  const confirm = useConfirm();
  const remove = useAction({
    run: () => call("secrets.delete", { scope, params: { name } }),
    refresh: [[...scopeKey(scope), "secrets"]],
    done: `Secret ${name} deleted`,
  });
  const ask = async () => {
    const detail = "Tasks that declare it cannot start until it is set again. Its value cannot be brought back.";
    if (await confirm({ title: `Delete ${name}?`, detail, action: "Delete secret" })) remove.start();
  };
  return (
    <Button
      size="small"
      look="ghost"
      icon={<Trash2 />}
      busy={remove.busy}
      reason={reason}
      aria-label={`Delete ${name}`}
      onClick={() => void ask()}
    />
  );
}
