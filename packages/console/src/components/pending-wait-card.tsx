import type { Run } from "@helmr/protocol/api";
import type { Json } from "@helmr/protocol/shared";
import { useQuery } from "@tanstack/react-query";
import { Hand } from "lucide-react";
import type { ReactNode } from "react";
import { tokenQuery } from "../api/queries.ts";
import type { Scope } from "../api/scope.ts";
import { CompleteTokenForm } from "../forms/complete-token-form.tsx";
import { SendInputForm } from "../forms/send-input-form.tsx";
import { Chip } from "../ui/badge.tsx";
import { questionOf, withoutQuestion } from "../util/question.ts";
import { durationText } from "../util/time.ts";
import { member } from "../util/run-story.ts";
import { IdText } from "./id-text.tsx";
import { RelativeTime } from "./relative-time.tsx";
import { paths } from "../util/paths.ts";
import { JsonTree } from "./json-tree.tsx";

type PendingWait = NonNullable<Run["pending_wait"]>;

export interface PendingWaitCardProps {
  scope: Scope;
  run: Run;
  wait: PendingWait;
  /** The page has a box for input already. */
  hasComposer?: boolean;
}

/** What the run waits for, and the way to give it. */
export function PendingWaitCard({ scope, run, wait, hasComposer = false }: PendingWaitCardProps) {
  const params = { attributes: wait.params };
  const tokenId = member(params, "token_id");
  const stream = member(params, "stream");
  const correlation = member(params, "correlation_id");
  return (
    <section aria-label="Pending wait" className="mb-4 rounded-lg border border-wait/35 bg-wait-soft/60">
      <header className="flex flex-wrap items-center gap-x-3 gap-y-1 px-3.5 py-2.5 text-sm">
        <Hand className="size-4 text-wait" aria-hidden="true" />
        <h2 className="font-semibold">{titleOf(wait)}</h2>
        <span className="text-muted">
          since <RelativeTime at={wait.created_at} />
          {wait.timeout === undefined ? "" : `, at most ${durationText(wait.timeout * 1_000)}`}
          {wait.status === "parked" ? "; its machine is parked and costs nothing" : ""}
        </span>
        {typeof tokenId === "string" ? <IdText id={tokenId} href={paths.token(scope, tokenId)} className="ml-auto" /> : null}
      </header>
      <Question scope={scope} wait={wait} tokenId={typeof tokenId === "string" ? tokenId : undefined} />
      {wait.kind === "token" && typeof tokenId === "string" ? (
        <Answer>
          <CompleteTokenForm key={tokenId} scope={scope} tokenId={tokenId} />
        </Answer>
      ) : null}
      {wait.kind === "stream" && typeof stream === "string" && !hasComposer ? (
        <Answer>
          <SendInputForm
            key={wait.id}
            scope={scope}
            sessionId={run.session_id}
            streams={[stream]}
            correlationId={typeof correlation === "string" ? correlation : undefined}
          />
        </Answer>
      ) : null}
    </section>
  );
}

function Answer({ children }: { children: ReactNode }) {
  return <div className="border-t border-wait/20 bg-surface/70 px-3.5 py-3">{children}</div>;
}

function titleOf(wait: PendingWait): string {
  const params = { attributes: wait.params };
  if (wait.kind === "token") return "Waits for an answer";
  if (wait.kind === "stream") return `Waits for a record on ${String(member(params, "stream"))}`;
  const delay = member(params, "delay_ms");
  return wait.kind === "timer" ? `Sleeps${typeof delay === "number" ? ` for ${durationText(delay)}` : ""}` : "Waits";
}

/** What the task said about the wait and about its token: often the question itself. */
function Question({ scope, wait, tokenId }: { scope: Scope; wait: PendingWait; tokenId: string | undefined }) {
  const { data: token } = useQuery({ ...tokenQuery(scope, tokenId ?? ""), enabled: tokenId !== undefined });
  const metadata = { ...token?.metadata, ...objectOf(wait.metadata) };
  const question = questionOf(metadata);
  const rest = withoutQuestion(metadata);
  const tags = [...new Set([...(token?.tags ?? []), ...(wait.tags ?? [])])];
  const hasMore = Object.keys(rest).length > 0;
  if (question === undefined && !hasMore && tags.length === 0) return null;
  return (
    <div className="space-y-2 border-t border-wait/20 px-3.5 py-3">
      {question === undefined ? null : <p className="text-base font-medium break-words whitespace-pre-wrap">{question}</p>}
      {hasMore ? <JsonTree value={rest as Json} label="What the task says about it" /> : null}
      {tags.length === 0 ? null : (
        <p className="flex flex-wrap gap-1">
          {tags.map((tag) => (
            <Chip key={tag}>{tag}</Chip>
          ))}
        </p>
      )}
    </div>
  );
}

function objectOf(value: unknown): object {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? value : {};
}
