import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { call } from "../api/call.ts";
import { sandboxesQuery } from "../api/queries.ts";
import { type Scope, scopeKey } from "../api/scope.ts";
import { useAction } from "../hooks/use-action.ts";
import { useGo } from "../hooks/use-go.ts";
import { Button } from "../ui/button.tsx";
import { Dialog, DialogActions } from "../ui/dialog.tsx";
import { SelectField, TextField } from "../ui/field.tsx";
import { paths } from "../util/paths.ts";
import { FormError } from "./form-error.tsx";

export function WorkspaceDialog({ scope, onClose }: { scope: Scope; onClose: () => void }) {
  const go = useGo();
  const { data: sandboxes = [] } = useQuery(sandboxesQuery(scope));
  const [chosen, setChosen] = useState("");
  const [externalId, setExternalId] = useState("");
  const sandbox = chosen === "" ? (sandboxes[0]?.sandbox_id ?? "") : chosen;
  const create = useAction({
    run: () =>
      call("workspaces.create", { scope, body: { sandbox_id: sandbox, ...(externalId === "" ? {} : { external_id: externalId }) } }),
    refresh: [[...scopeKey(scope), "workspaces"]],
    onDone: ({ workspace }) => go(paths.workspace(scope, workspace.id)),
    showsError: true,
  });
  return (
    <Dialog open onOpenChange={onClose} title="New workspace" description="A file system that sessions can share and that outlives them.">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (sandbox !== "" && !create.busy) create.start();
        }}
      >
        <div className="space-y-3">
          <SelectField
            label="Sandbox"
            value={sandbox}
            onChange={setChosen}
            options={sandboxes.map(({ sandbox_id: value }) => ({ value, label: value }))}
          />
          <TextField label="External id" optional value={externalId} onChange={setExternalId} mono autoComplete="off" />
        </div>
        <FormError error={create.error} />
        <DialogActions>
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" look="primary" busy={create.busy} reason={sandbox === "" ? "Deploy a sandbox first" : undefined}>
            Create workspace
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  );
}
