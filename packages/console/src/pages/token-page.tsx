import type { Token } from "@helmr/protocol/api";
import { useQuery } from "@tanstack/react-query";
import { CircleStop } from "lucide-react";
import { call } from "../api/call.ts";
import { tokenQuery } from "../api/queries.ts";
import { tokenRule } from "../api/rules.ts";
import { type Scope, scopeKey } from "../api/scope.ts";
import { IdText, shortId } from "../components/id-text.tsx";
import { JsonTree } from "../components/json-tree.tsx";
import { PageState } from "../components/list-states.tsx";
import { PageHeader } from "../components/page-header.tsx";
import { RelativeTime } from "../components/relative-time.tsx";
import { StatusBadge } from "../components/status-badge.tsx";
import { CompleteTokenForm } from "../forms/complete-token-form.tsx";
import { useAction } from "../hooks/use-action.ts";
import { useReasonAgainst } from "../hooks/use-me.ts";
import { useParam, useScope } from "../hooks/use-scope.ts";
import { Chip } from "../ui/badge.tsx";
import { Button } from "../ui/button.tsx";
import { Card, Facts } from "../ui/card.tsx";
import { useConfirm } from "../ui/confirm.tsx";
import { paths } from "../util/paths.ts";
import { questionOf } from "../util/question.ts";

export function TokenPage() {
  const scope = useScope();
  const id = useParam("id");
  const token = useQuery(tokenQuery(scope, id));
  return (
    <PageState query={token} noun="token" parent={{ label: "All tokens", href: paths.tokens(scope) }}>
      {(item) => <LoadedToken scope={scope} token={item} />}
    </PageState>
  );
}

function LoadedToken({ scope, token }: { scope: Scope; token: Token }) {
  const { metadata = {}, tags = [], data } = token;
  return (
    <>
      <PageHeader
        parent={{ label: "Tokens", href: paths.tokens(scope) }}
        crumb={<IdText id={token.id} />}
        title={questionOf(metadata) ?? `Token ${shortId(token.id)}`}
        badge={<StatusBadge of="token" status={token.status} />}
        actions={<CancelToken scope={scope} token={token} />}
      />
      <div className="grid items-start gap-4 lg:grid-cols-2">
        {token.status === "pending" ? (
          <Card title="Complete it">
            <CompleteTokenForm scope={scope} tokenId={token.id} />
          </Card>
        ) : (
          <Card title="Data">
            {data === undefined ? <p className="text-sm text-muted">There is none.</p> : <JsonTree value={data} label="Data" />}
          </Card>
        )}
        <Card title="About">
          <Facts
            items={[
              ["Id", <IdText key="id" id={token.id} />],
              [
                token.status === "pending" ? "Expires" : "Expiry",
                token.timeout_at === null ? "never" : <RelativeTime key="at" at={token.timeout_at} />,
              ],
              tags.length === 0
                ? undefined
                : [
                    "Tags",
                    <span key="tags" className="flex flex-wrap gap-1">
                      {tags.map((tag) => (
                        <Chip key={tag}>{tag}</Chip>
                      ))}
                    </span>,
                  ],
            ]}
          />
          {Object.keys(metadata).length === 0 ? null : (
            <div className="mt-3 border-t border-line pt-3">
              <p className="mb-1 text-xs text-muted">Metadata</p>
              <JsonTree value={metadata} label="Metadata" />
            </div>
          )}
        </Card>
      </div>
    </>
  );
}

function CancelToken({ scope, token }: { scope: Scope; token: Token }) {
  const confirm = useConfirm();
  const denied = useReasonAgainst("tokens.cancel");
  const cancel = useAction({
    run: () => call("tokens.cancel", { scope, params: { id: token.id } }),
    refresh: [scopeKey(scope)],
    done: "Token cancelled",
  });
  const ask = async () => {
    const detail = "Every wait on it ends as cancelled, and it cannot be completed any more.";
    if (await confirm({ title: "Cancel this token?", detail, action: "Cancel token" })) cancel.start();
  };
  return (
    <Button look="danger" icon={<CircleStop />} busy={cancel.busy} reason={tokenRule.cancel(token) ?? denied} onClick={() => void ask()}>
      Cancel token
    </Button>
  );
}
