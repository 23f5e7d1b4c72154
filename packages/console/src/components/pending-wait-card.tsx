import type { Run } from "@helmr/protocol/api";
import { Hand } from "lucide-react";
import type { ReactNode } from "react";
import type { Scope } from "../api/scope.ts";
import { CompleteTokenForm } from "../forms/complete-token-form.tsx";
import { SendInputForm } from "../forms/send-input-form.tsx";
import { durationText } from "../util/time.ts";
import { member } from "../util/run-story.ts";
import { IdText } from "./id-text.tsx";
import { RelativeTime } from "./relative-time.tsx";
import { paths } from "../util/paths.ts";
import { JsonTree } from "./json-tree.tsx";

type PendingWait = NonNullable<Run["pending_wait"]>;

/** What the run waits for, and the way to give it. */
export function PendingWaitCard({ scope, run, wait }: { scope: Scope; run: Run; wait: PendingWait }) {
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
      <WaitMetadata wait={wait} />
      {wait.kind === "token" && typeof tokenId === "string" ? (
        <Answer>
          <CompleteTokenForm key={tokenId} scope={scope} tokenId={tokenId} />
        </Answer>
      ) : null}
      {wait.kind === "stream" && typeof stream === "string" ? (
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

/** What the task said about the wait: often the question itself. */
function WaitMetadata({ wait: { metadata, tags } }: { wait: PendingWait }) {
  const isEmpty = metadata === undefined || metadata === null || (typeof metadata === "object" && Object.keys(metadata).length === 0);
  if (isEmpty && (tags ?? []).length === 0) return null;
  return (
    <div className="border-t border-wait/20 px-3.5 py-2.5">
      {isEmpty ? null : <JsonTree value={metadata} label="Metadata of the wait" />}
      {(tags ?? []).length === 0 ? null : <p className="mt-1 font-mono text-xs text-muted">{(tags ?? []).join(" · ")}</p>}
    </div>
  );
}
