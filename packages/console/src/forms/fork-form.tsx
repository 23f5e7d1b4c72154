import type { Workspace, WorkspaceVersion } from "@helmr/protocol/api";
import { useState } from "react";
import { call } from "../api/call.ts";
import { type Scope, scopeKey } from "../api/scope.ts";
import { shortId } from "../components/id-text.tsx";
import { useAction } from "../hooks/use-action.ts";
import { useGo } from "../hooks/use-go.ts";
import { Button } from "../ui/button.tsx";
import { Dialog, DialogActions } from "../ui/dialog.tsx";
import { TextField } from "../ui/field.tsx";
import { paths } from "../util/paths.ts";
import { FormError } from "./form-error.tsx";

export interface ForkDialogProps {
  scope: Scope;
  workspace: Workspace;
  version: WorkspaceVersion;
  onClose: () => void;
}

export function ForkDialog({ scope, workspace, version, onClose }: ForkDialogProps) {
  const go = useGo();
  const [externalId, setExternalId] = useState("");
  const fork = useAction({
    run: () =>
      call("workspaces.fork", {
        scope,
        params: { id: workspace.id },
        body: { version_id: version.id, ...(externalId.trim() === "" ? {} : { external_id: externalId.trim() }) },
      }),
    refresh: [[...scopeKey(scope), "workspaces"]],
    onDone: ({ workspace: made }) => go(paths.workspace(scope, made.id)),
    showsError: true,
  });
  return (
    <Dialog
      open
      onOpenChange={onClose}
      title="New workspace from a version"
      description={`It begins with the files of ${shortId(version.id)}. Nothing is copied, and neither changes the other.`}
    >
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (!fork.busy) fork.start();
        }}
      >
        <TextField label="External id" optional value={externalId} onChange={setExternalId} mono autoComplete="off" />
        <FormError error={fork.error} />
        <DialogActions>
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" look="primary" busy={fork.busy}>
            Create workspace
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  );
}
