import { useState } from "react";
import { call } from "../api/call.ts";
import { type Scope, scopeKey } from "../api/scope.ts";
import { useAction } from "../hooks/use-action.ts";
import { Button } from "../ui/button.tsx";
import { Dialog, DialogActions } from "../ui/dialog.tsx";
import { Field, inputClasses, TextField } from "../ui/field.tsx";
import { FormError } from "./form-error.tsx";

const namePattern = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/;

/** Sets a secret. Its value goes in and never comes out. */
export function SecretDialog({ scope, name: fixedName, onClose }: { scope: Scope; name?: string; onClose: () => void }) {
  const [name, setName] = useState(fixedName ?? "");
  const [value, setValue] = useState("");
  const save = useAction({
    run: () => call("secrets.put", { scope, params: { name }, body: { value } }),
    refresh: [[...scopeKey(scope), "secrets"]],
    done: `Secret ${name} saved`,
    onDone: onClose,
    showsError: true,
  });
  const badName = name !== "" && !namePattern.test(name) ? "Letters, digits, _ . and -; at most 128" : undefined;
  const problem = name === "" ? "Give it a name" : (badName ?? (value === "" ? "Give it a value" : undefined));
  return (
    <Dialog
      open
      onOpenChange={onClose}
      title={fixedName === undefined ? "New secret" : `New value for ${fixedName}`}
      description="Tasks that declare it receive the value at their next attempt. Nobody can read it here again."
    >
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (!problem && !save.busy) save.start();
        }}
      >
        <div className="space-y-3">
          {fixedName === undefined ? (
            <TextField
              label="Name"
              value={name}
              onChange={setName}
              error={badName}
              mono
              autoComplete="off"
              spellCheck={false}
              placeholder="GITHUB_TOKEN"
            />
          ) : null}
          <Field label="Value" hint="Kept exactly as it is, line breaks included.">
            {(described) => (
              <textarea
                {...described}
                value={value}
                onChange={(event) => setValue(event.target.value)}
                rows={4}
                spellCheck={false}
                autoComplete="off"
                className={`${inputClasses} h-auto py-1.5 font-mono text-xs [-webkit-text-security:disc] focus:[-webkit-text-security:none]`}
              />
            )}
          </Field>
        </div>
        <FormError error={save.error} />
        <DialogActions>
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" look="primary" busy={save.busy} reason={problem}>
            Save secret
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  );
}
