import { useState } from "react";
import { call } from "../api/call.ts";
import { type Scope, scopeKey } from "../api/scope.ts";
import { useAction } from "../hooks/use-action.ts";
import { useReasonAgainst } from "../hooks/use-me.ts";
import { Button } from "../ui/button.tsx";
import { inputClasses } from "../ui/field.tsx";
import { FormError } from "./form-error.tsx";

/** Runs a line in the workspace with its shell. The machine is started for it when there is none. */
export function ExecForm({ scope, workspaceId, onStarted }: { scope: Scope; workspaceId: string; onStarted: (execId: string) => void }) {
  const [line, setLine] = useState("");
  const denied = useReasonAgainst("workspace.exec.create");
  const start = useAction({
    run: () => call("execs.create", { scope, params: { id: workspaceId }, body: { command: ["sh", "-c", line] } }),
    refresh: [[...scopeKey(scope), "workspace", workspaceId]],
    onDone: ({ exec }) => {
      setLine("");
      onStarted(exec.id);
    },
    showsError: true,
  });
  const blank = line.trim() === "";
  return (
    <form
      className="border-b border-line p-3.5"
      onSubmit={(event) => {
        event.preventDefault();
        if (!blank && denied === undefined && !start.busy) start.start();
      }}
    >
      <div className="flex items-center gap-2">
        <span aria-hidden="true" className="font-mono text-sm text-faint">
          $
        </span>
        <input
          aria-label="Command"
          placeholder="npm test"
          value={line}
          onChange={(event) => setLine(event.target.value)}
          spellCheck={false}
          autoCapitalize="off"
          autoComplete="off"
          className={`${inputClasses} font-mono`}
        />
        <Button type="submit" look="primary" busy={start.busy} reason={denied ?? (blank ? "Write a command first" : undefined)}>
          Run
        </Button>
      </div>
      <FormError error={start.error} />
    </form>
  );
}
