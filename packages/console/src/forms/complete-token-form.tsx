import { useState } from "react";
import { call } from "../api/call.ts";
import { type Scope, scopeKey } from "../api/scope.ts";
import { useAction } from "../hooks/use-action.ts";
import { useReasonAgainst } from "../hooks/use-me.ts";
import { Button } from "../ui/button.tsx";
import { JsonField } from "../ui/json-field.tsx";
import { parseJsonText } from "../util/json-text.ts";
import { FormError } from "./form-error.tsx";

const approval = '{\n  "approved": true\n}';
const refusal = '{\n  "approved": false,\n  "reason": ""\n}';

/** Answers whoever waits for the token. Two buttons cover the usual yes and no; any JSON may be sent. */
export function CompleteTokenForm({ scope, tokenId, onDone }: { scope: Scope; tokenId: string; onDone?: () => void }) {
  const [text, setText] = useState(approval);
  const parsed = parseJsonText(text);
  const denied = useReasonAgainst("tokens.complete");
  const complete = useAction({
    run: (data: unknown) => call("tokens.complete", { scope, params: { id: tokenId }, body: { data: data as never } }),
    refresh: [scopeKey(scope)],
    done: ({ status }) => (status === "already_completed" ? "It was completed with the same data before" : "Token completed"),
    onDone: () => onDone?.(),
    showsError: true,
  });
  const submit = () => {
    if (parsed.ok && !denied && !complete.busy) complete.start(parsed.value ?? null);
  };
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      <JsonField
        label="Data"
        hint="What the waiting run receives. Blank sends null."
        value={text}
        onChange={setText}
        rows={4}
        onSubmit={submit}
      />
      <FormError error={complete.error} />
      <div className="mt-3 flex flex-wrap items-center gap-2">
        <Button type="submit" look="primary" busy={complete.busy} reason={denied ?? (parsed.ok ? undefined : "The data is not JSON")}>
          Complete token
        </Button>
        <span className="ml-auto flex items-center gap-1 text-xs text-muted">
          Fill in
          <Button size="small" look="ghost" onClick={() => setText(approval)}>
            an approval
          </Button>
          <Button size="small" look="ghost" onClick={() => setText(refusal)}>
            a refusal
          </Button>
        </span>
      </div>
    </form>
  );
}
