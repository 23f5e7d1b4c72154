import type { ApiKeyScope } from "@helmr/protocol/shared";
import { useState } from "react";
import { call } from "../api/call.ts";
import { scopeParams } from "../api/queries.ts";
import { type Scope, scopeKey } from "../api/scope.ts";
import { useAction } from "../hooks/use-action.ts";
import { Button } from "../ui/button.tsx";
import { CodeLine } from "../ui/code-line.tsx";
import { Dialog, DialogActions } from "../ui/dialog.tsx";
import { Checkbox, SelectField, TextField } from "../ui/field.tsx";
import { presets, scopeGroups } from "./api-key-scopes.ts";
import { FormError } from "./form-error.tsx";

const lifetimes = [
  { value: "30", label: "30 days" },
  { value: "90", label: "90 days" },
  { value: "365", label: "1 year" },
  { value: "never", label: "Never" },
] as const;

export function ApiKeyDialog({ scope, onClose }: { scope: Scope; onClose: () => void }) {
  const [rawKey, setRawKey] = useState<string>();
  return rawKey === undefined ? (
    <CreateKey scope={scope} onClose={onClose} onCreated={setRawKey} />
  ) : (
    <NewKey rawKey={rawKey} onClose={onClose} />
  );
}

function CreateKey({ scope, onClose, onCreated }: { scope: Scope; onClose: () => void; onCreated: (rawKey: string) => void }) {
  const [name, setName] = useState("");
  const [lifetime, setLifetime] = useState<string>("90");
  const [scopes, setScopes] = useState<ReadonlySet<ApiKeyScope>>(new Set(presets[0]?.scopes));
  const create = useAction({
    run: () =>
      call("apiKeys.create", {
        params: scopeParams(scope),
        body: {
          name,
          expires_in_days: lifetime === "never" ? null : (Number(lifetime) as 30 | 90 | 365),
          permissions: [{ scopes: [...scopes] }],
        },
      }),
    refresh: [[...scopeKey(scope), "api-keys"]],
    onDone: ({ raw_key: rawKey }) => onCreated(rawKey),
    showsError: true,
  });
  const problem = name.trim() === "" ? "Give it a name" : scopes.size === 0 ? "Choose at least one permission" : undefined;
  return (
    <Dialog open wide onOpenChange={onClose} title="New API key" description={`Works in ${scope.project} / ${scope.environment} only.`}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (!problem && !create.busy) create.start();
        }}
      >
        <div className="grid gap-3 sm:grid-cols-2">
          <TextField label="Name" value={name} onChange={setName} maxLength={64} autoComplete="off" placeholder="ci" />
          <SelectField label="Expires" value={lifetime} onChange={setLifetime} options={lifetimes} />
        </div>
        <ScopeChoice scopes={scopes} onChange={setScopes} />
        <FormError error={create.error} />
        <DialogActions>
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" look="primary" busy={create.busy} reason={problem}>
            Create key
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  );
}

function ScopeChoice({ scopes, onChange }: { scopes: ReadonlySet<ApiKeyScope>; onChange: (scopes: ReadonlySet<ApiKeyScope>) => void }) {
  const set = (scope: ApiKeyScope, on: boolean) => {
    const next = new Set(scopes);
    if (on) next.add(scope);
    else next.delete(scope);
    onChange(next);
  };
  return (
    <fieldset className="mt-4">
      <legend className="text-xs font-medium">Permissions</legend>
      <div className="mt-2 flex flex-wrap gap-1.5">
        {presets.map((preset) => (
          <Button key={preset.label} size="small" onClick={() => onChange(new Set(preset.scopes))}>
            {preset.label}
          </Button>
        ))}
      </div>
      <div className="mt-3 gap-x-6 sm:columns-2">
        {scopeGroups.map((group) => (
          <div key={group.title} className="mb-4 break-inside-avoid space-y-1.5">
            <p className="text-xs font-medium text-muted">{group.title}</p>
            {group.scopes.map(({ scope, label }) => (
              <Checkbox key={scope} label={label} hint={scope} checked={scopes.has(scope)} onChange={(on) => set(scope, on)} />
            ))}
          </div>
        ))}
      </div>
    </fieldset>
  );
}

function NewKey({ rawKey, onClose }: { rawKey: string; onClose: () => void }) {
  return (
    <Dialog open onOpenChange={onClose} title="Copy the key now" description="It is shown this once; only its hash is kept.">
      <CodeLine code={rawKey} prompt="" />
      <p className="mt-4 mb-1.5 text-xs text-muted">Use it with the command line or the SDK:</p>
      <CodeLine code={`export HELMR_API_URL=${location.origin}`} />
      <div className="mt-1.5">
        <CodeLine code={`export HELMR_API_KEY=${rawKey}`} />
      </div>
      <DialogActions>
        <Button look="primary" onClick={onClose}>
          I have copied it
        </Button>
      </DialogActions>
    </Dialog>
  );
}
