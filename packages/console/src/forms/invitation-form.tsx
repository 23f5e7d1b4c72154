import type { Invitation } from "@helmr/protocol/api";
import { useState } from "react";
import { call } from "../api/call.ts";
import { useAction } from "../hooks/use-action.ts";
import { Button } from "../ui/button.tsx";
import { CodeLine } from "../ui/code-line.tsx";
import { Dialog, DialogActions } from "../ui/dialog.tsx";
import { SelectField, TextField } from "../ui/field.tsx";
import { FormError } from "./form-error.tsx";

export const roleOptions: readonly { value: Invitation["role"]; label: string; says: string }[] = [
  { value: "owner", label: "Owner", says: "May do everything. There is always at least one." },
  { value: "admin", label: "Admin", says: "May do everything." },
  { value: "developer", label: "Developer", says: "Deploys and runs; no secrets, keys or members." },
  { value: "viewer", label: "Viewer", says: "Looks, and changes nothing." },
];

const days = [1, 3, 7, 14, 30].map((count) => ({ value: String(count), label: count === 1 ? "1 day" : `${count} days` }));

export function InvitationDialog({ onClose }: { onClose: () => void }) {
  const [email, setEmail] = useState("");
  const [role, setRole] = useState<string>("developer");
  const [lifetime, setLifetime] = useState("7");
  const [url, setUrl] = useState<string>();
  const invite = useAction({
    run: () => call("invitations.create", { body: { email, role: role as Invitation["role"], expires_in_days: Number(lifetime) } }),
    refresh: [["invitations"]],
    onDone: (created) => setUrl(created.invite_url),
    showsError: true,
  });
  if (url !== undefined) {
    return (
      <Dialog
        open
        onOpenChange={onClose}
        title={`${email} is invited`}
        description="Send this link. It works once, for this address only, and is shown this once."
      >
        <CodeLine code={url} prompt="" />
        <DialogActions>
          <Button look="primary" onClick={onClose}>
            Done
          </Button>
        </DialogActions>
      </Dialog>
    );
  }
  return (
    <Dialog open onOpenChange={onClose} title="Invite somebody">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (email !== "" && !invite.busy) invite.start();
        }}
      >
        <div className="space-y-3">
          <TextField label="E-mail address" type="email" value={email} onChange={setEmail} required autoComplete="off" />
          <div className="grid gap-3 sm:grid-cols-2">
            <SelectField
              label="Role"
              value={role}
              onChange={setRole}
              options={roleOptions}
              hint={roleOptions.find(({ value }) => value === role)?.says}
            />
            <SelectField label="Link works for" value={lifetime} onChange={setLifetime} options={days} />
          </div>
        </div>
        <FormError error={invite.error} />
        <DialogActions>
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" look="primary" busy={invite.busy} reason={email === "" ? "Whom? Give an address" : undefined}>
            Create invitation
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  );
}
