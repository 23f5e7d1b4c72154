import { useState } from "react";
import { call } from "../api/call.ts";
import { type Scope, scopeKey } from "../api/scope.ts";
import { useAction } from "../hooks/use-action.ts";
import { useGo } from "../hooks/use-go.ts";
import { useReasonAgainst } from "../hooks/use-me.ts";
import { Button } from "../ui/button.tsx";
import { Field, inputClasses, Select, TextField } from "../ui/field.tsx";
import { JsonField } from "../ui/json-field.tsx";
import { lastPayload, rememberPayload } from "../util/last-payload.ts";
import { parseJsonText } from "../util/json-text.ts";
import { paths } from "../util/paths.ts";
import { FormError } from "./form-error.tsx";

interface Options {
  externalId: string;
  tags: string;
  priority: string;
  ttl: string;
  workspaceId: string;
}

const noOptions: Options = { externalId: "", tags: "", priority: "", ttl: "", workspaceId: "" };

/** Starts a session of a task; the payload of last time is proposed. */
export function StartSessionForm({ scope, taskId, taskIds }: { scope: Scope; taskId?: string; taskIds: readonly string[] }) {
  const go = useGo();
  const [task, setTask] = useState(taskId ?? taskIds[0] ?? "");
  const [payload, setPayload] = useState(() => lastPayload(scope, task) ?? "{}");
  const [options, setOptions] = useState(noOptions);
  const denied = useReasonAgainst("runs.create");
  const parsed = parseJsonText(payload);
  const start = useAction({
    run: () => call("sessions.start", { scope, body: bodyOf(task, parsed.ok ? parsed.value : undefined, options) }),
    refresh: [scopeKey(scope)],
    done: ({ is_cached: cached }) => (cached ? "A session with this external id runs already" : undefined),
    onDone: ({ session, run }) => {
      rememberPayload(scope, task, payload);
      go(session.current_run_id === run.id ? paths.run(scope, run.id) : paths.session(scope, session.id));
    },
    showsError: true,
  });
  const problem = denied ?? (task === "" ? "Choose a task" : parsed.ok ? undefined : "The payload is not JSON");
  const submit = () => {
    if (!problem && !start.busy) start.start();
  };
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      <div className="space-y-3">
        {taskId === undefined ? (
          <Field label="Task">
            {(described) => (
              <Select
                {...described}
                value={task}
                onChange={(next) => {
                  setTask(next);
                  setPayload(lastPayload(scope, next) ?? "{}");
                }}
                options={taskIds.map((value) => ({ value, label: value }))}
              />
            )}
          </Field>
        ) : null}
        <JsonField label="Payload" value={payload} onChange={setPayload} rows={8} onSubmit={submit} />
        <MoreOptions options={options} onChange={setOptions} />
      </div>
      <FormError error={start.error} />
      <Button type="submit" look="primary" className="mt-4" busy={start.busy} reason={problem}>
        Start session
      </Button>
    </form>
  );
}

function MoreOptions({ options, onChange }: { options: Options; onChange: (options: Options) => void }) {
  const set = (change: Partial<Options>) => onChange({ ...options, ...change });
  return (
    <details>
      <summary className="w-fit text-xs text-muted hover:text-ink">More options</summary>
      <div className="mt-3 grid gap-3 sm:grid-cols-2">
        <TextField
          label="External id"
          optional
          hint="One session per id: a repeat finds the same one."
          value={options.externalId}
          onChange={(externalId) => set({ externalId })}
          mono
        />
        <TextField
          label="Workspace id"
          optional
          hint="Blank makes a new one."
          value={options.workspaceId}
          onChange={(workspaceId) => set({ workspaceId })}
          mono
        />
        <TextField label="Tags" optional hint="Separated by commas." value={options.tags} onChange={(tags) => set({ tags })} />
        <div className="grid grid-cols-2 gap-3">
          <Field label="Priority" optional>
            {(described) => (
              <input
                {...described}
                type="number"
                step={1}
                className={inputClasses}
                value={options.priority}
                onChange={(event) => set({ priority: event.target.value })}
              />
            )}
          </Field>
          <TextField label="Queue limit" optional hint="Such as 10m." value={options.ttl} onChange={(ttl) => set({ ttl })} />
        </div>
      </div>
    </details>
  );
}

function bodyOf(task: string, payload: unknown, options: Options) {
  const tags = options.tags
    .split(",")
    .map((tag) => tag.trim())
    .filter(Boolean);
  return {
    task_id: task,
    ...(payload === undefined ? {} : { payload: payload as never }),
    ...(options.externalId.trim() === "" ? {} : { external_id: options.externalId.trim() }),
    ...(options.workspaceId.trim() === "" ? {} : { workspace_id: options.workspaceId.trim() }),
    ...(tags.length === 0 ? {} : { tags }),
    ...(options.priority === "" ? {} : { priority: Number(options.priority) }),
    ...(options.ttl.trim() === "" ? {} : { ttl: options.ttl.trim() }),
  };
}
