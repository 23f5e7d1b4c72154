import type { Project } from "@helmr/protocol/api";
import { call } from "../api/call.ts";
import { useAction } from "../hooks/use-action.ts";
import { useGo } from "../hooks/use-go.ts";
import { Button } from "../ui/button.tsx";
import { Dialog, DialogActions } from "../ui/dialog.tsx";
import { startScope } from "../util/last-scope.ts";
import { paths } from "../util/paths.ts";
import { FormError } from "./form-error.tsx";
import { NameAndSlug, useNameAndSlug } from "./name-and-slug.tsx";

export function ProjectForm({ onCreated, onCancel }: { onCreated: (project: Project) => void; onCancel?: () => void }) {
  const form = useNameAndSlug();
  const create = useAction({
    run: () => call("projects.create", { body: form.value }),
    refresh: [["projects"], ["me"]],
    onDone: onCreated,
    showsError: true,
  });
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        if (!form.problem && !create.busy) create.start();
      }}
    >
      <NameAndSlug form={form} slugHint="Stands in addresses and after --project." />
      <FormError error={create.error} />
      <DialogActions>
        {onCancel ? <Button onClick={onCancel}>Cancel</Button> : null}
        <Button type="submit" look="primary" busy={create.busy} reason={form.problem}>
          Create project
        </Button>
      </DialogActions>
    </form>
  );
}

export function ProjectDialog({ onClose }: { onClose: () => void }) {
  const go = useGo();
  return (
    <Dialog open onOpenChange={onClose} title="New project" description="It starts with the environments production and staging.">
      <ProjectForm
        onCancel={onClose}
        onCreated={(project) => {
          onClose();
          const scope = startScope([project], undefined);
          go(scope ? paths.overview(scope) : paths.home());
        }}
      />
    </Dialog>
  );
}
