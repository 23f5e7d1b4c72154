import { useState } from "react";
import { call } from "../api/call.ts";
import { type Scope, scopeKey } from "../api/scope.ts";
import { useAction } from "../hooks/use-action.ts";
import { useReasonAgainst } from "../hooks/use-me.ts";
import { Button } from "../ui/button.tsx";
import { Select, TextField } from "../ui/field.tsx";
import { JsonField } from "../ui/json-field.tsx";
import { parseJsonText } from "../util/json-text.ts";
import { FormError } from "./form-error.tsx";

export interface SendInputFormProps {
  scope: Scope;
  sessionId: string;
  streams: readonly string[];
  /** The one that is proposed; otherwise the first. */
  first?: string | undefined;
  /** A wait that only takes records with this correlation. */
  correlationId?: string | undefined;
  /** Why nothing can be sent. */
  reason?: string | undefined;
}

const said = {
  accepted_run_pending: "Sent. A run is active: it reads the record, or the next turn starts with it",
  created: "Sent. It starts the next turn",
  duplicate: "This record was sent before",
} as const;

/** Sends a record to an input stream. What is no JSON is sent as a text, so that a plain answer needs no quotes. */
export function SendInputForm({ scope, sessionId, streams, first = "", correlationId, reason }: SendInputFormProps) {
  const [stream, setStream] = useState(first);
  const [text, setText] = useState("");
  const [correlation, setCorrelation] = useState(correlationId ?? "");
  const name = streams.includes(stream) ? stream : (streams[0] ?? "");
  const parsed = parseJsonText(text);
  const denied = useReasonAgainst("session.input.send");
  const send = useAction({
    run: (data: unknown) =>
      call("streams.appendInput", {
        scope,
        params: { id: sessionId, stream: name },
        body: { data: data as never, ...(correlation === "" ? {} : { correlation_id: correlation }) },
      }),
    refresh: [scopeKey(scope)],
    done: ({ continuation_status: status }) => (status === undefined ? "Sent" : said[status]),
    onDone: () => setText(""),
    showsError: true,
  });
  const blank = text.trim() === "";
  const blocked = reason ?? denied ?? (streams.length === 0 ? "This task declares no input streams" : undefined);
  const looksLikeJson = /^\s*[[{"]/.test(text);
  const submit = () => {
    if (blocked === undefined && !blank && !send.busy && (parsed.ok || !looksLikeJson)) send.start(parsed.ok ? parsed.value : text);
  };
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      <JsonOrText value={text} onChange={setText} onSubmit={submit} strict={looksLikeJson} />
      <div className="mt-2 flex flex-wrap items-end gap-2">
        {streams.length > 1 ? (
          <Select
            aria-label="Input stream"
            fit
            value={name}
            onChange={setStream}
            options={streams.map((value) => ({ value, label: value }))}
          />
        ) : null}
        <details className="grow text-xs text-muted" open={correlationId !== undefined}>
          <summary className="w-fit py-1.5 hover:text-ink">Correlation</summary>
          <TextField label="Correlation id" value={correlation} onChange={setCorrelation} mono className="max-w-64" />
        </details>
        <Button
          type="submit"
          look="primary"
          className="ml-auto"
          busy={send.busy}
          reason={blocked ?? (blank ? "Write something first" : looksLikeJson && !parsed.ok ? "The record is not JSON" : undefined)}
        >
          Send{streams.length === 1 ? ` to ${name}` : ""}
        </Button>
      </div>
      <FormError error={send.error} />
    </form>
  );
}

interface JsonOrTextProps {
  value: string;
  onChange: (value: string) => void;
  onSubmit: () => void;
  strict: boolean;
}

function JsonOrText({ value, onChange, onSubmit, strict }: JsonOrTextProps) {
  const frame = { label: "Record", hint: "JSON, or plain text. Ctrl + Enter sends it.", rows: 3, value, onChange, onSubmit };
  // While it does not look like JSON, it is a text, and a text cannot be wrong.
  return <JsonField {...frame} {...(strict ? {} : { lenient: true })} />;
}
