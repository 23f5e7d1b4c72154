import type { Token } from "@helmr/protocol/api";
import { useQuery } from "@tanstack/react-query";
import { Hand, Plus } from "lucide-react";
import { useState } from "react";
import { tokensQuery } from "../api/queries.ts";
import { shortId } from "../components/id-text.tsx";
import { EmptyState, ItemState } from "../components/list-states.tsx";
import { PageHeader } from "../components/page-header.tsx";
import { RelativeTime } from "../components/relative-time.tsx";
import { StatusBadge } from "../components/status-badge.tsx";
import { TokenDialog } from "../forms/token-form.tsx";
import { useReasonAgainst } from "../hooks/use-me.ts";
import { useQueryText, useSetQueryText } from "../hooks/use-query-text.ts";
import { useScope } from "../hooks/use-scope.ts";
import { Chip } from "../ui/badge.tsx";
import { Button } from "../ui/button.tsx";
import { Card } from "../ui/card.tsx";
import { FilterBar, SelectFilter } from "../ui/filter-bar.tsx";
import { type Column, Table } from "../ui/table.tsx";
import { jsonPreview } from "../util/json-text.ts";
import { paths } from "../util/paths.ts";

const statusNames: Record<Token["status"], string> = {
  pending: "Pending",
  completed: "Completed",
  expired: "Expired",
  cancelled: "Cancelled",
};
const statuses = [{ value: "", label: "Any status" }, ...Object.entries(statusNames).map(([value, label]) => ({ value, label }))];

const columns: readonly Column<Token>[] = [
  { key: "id", title: "Token", render: ({ id }) => <span className="font-mono text-xs">{shortId(id)}</span> },
  { key: "status", title: "Status", render: ({ status }) => <StatusBadge of="token" status={status} /> },
  {
    key: "tags",
    title: "Tags",
    from: "sm",
    render: ({ tags = [] }) => (
      <span className="flex gap-1">
        {tags.slice(0, 4).map((tag) => (
          <Chip key={tag}>{tag}</Chip>
        ))}
      </span>
    ),
  },
  {
    key: "data",
    title: "Data",
    grow: true,
    from: "md",
    render: ({ data }) => <span className="font-mono text-xs text-muted">{data === undefined ? "" : jsonPreview(data, 120)}</span>,
  },
  {
    key: "timeout",
    title: "Expires",
    align: "right",
    render: (token) => (token.timeout_at === null ? "never" : <RelativeTime at={token.timeout_at} />),
  },
];

export function TokensPage() {
  const scope = useScope();
  const { status, cursor } = useQueryText();
  const setQuery = useSetQueryText();
  const page = useQuery(tokensQuery(scope, { status, cursor }));
  const denied = useReasonAgainst("tokens.create");
  const [creating, setCreating] = useState(false);
  return (
    <>
      <PageHeader
        title="Tokens"
        detail="A run that waits for a token goes on when somebody outside completes it."
        actions={
          <Button icon={<Plus />} reason={denied} onClick={() => setCreating(true)}>
            New token
          </Button>
        }
      />
      <FilterBar>
        <SelectFilter name="status" label="Status" options={statuses} />
      </FilterBar>
      <Card flush>
        <ItemState query={page}>
          {({ tokens, next_cursor: next }) =>
            tokens.length === 0 ? (
              <EmptyState
                icon={<Hand />}
                title={status === undefined ? "No token yet" : "No token has this status"}
                command={
                  status === undefined ? `helmr token create --timeout 1h --project ${scope.project} --env ${scope.environment}` : undefined
                }
              >
                {status === undefined ? "Tasks create them with tokens.create() and wait for them." : "Choose another one."}
              </EmptyState>
            ) : (
              <>
                <Table label="Tokens" rows={tokens} columns={columns} keyOf={({ id }) => id} hrefOf={({ id }) => paths.token(scope, id)} />
                {next !== undefined || cursor !== undefined ? (
                  <div className="flex justify-between border-t border-line px-3.5 py-2">
                    <Button
                      size="small"
                      look="ghost"
                      reason={cursor === undefined ? "This is the first page" : undefined}
                      onClick={() => setQuery({ cursor: "" })}
                    >
                      First page
                    </Button>
                    <Button
                      size="small"
                      reason={next === undefined ? "This is the last page" : undefined}
                      onClick={() => setQuery({ cursor: next ?? "" })}
                    >
                      Next page
                    </Button>
                  </div>
                ) : null}
              </>
            )
          }
        </ItemState>
      </Card>
      {creating ? <TokenDialog scope={scope} onClose={() => setCreating(false)} /> : null}
    </>
  );
}
