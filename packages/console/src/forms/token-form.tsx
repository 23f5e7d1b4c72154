import type { Token } from "@helmr/protocol/api";
import { useState } from "react";
import { call } from "../api/call.ts";
import { type Scope, scopeKey } from "../api/scope.ts";
import { useAction } from "../hooks/use-action.ts";
import { Button } from "../ui/button.tsx";
import { CodeLine } from "../ui/code-line.tsx";
import { Dialog, DialogActions } from "../ui/dialog.tsx";
import { TextField } from "../ui/field.tsx";
import { FormError } from "./form-error.tsx";

/** Creates a token by hand. Its two secrets are shown once. */
export function TokenDialog({ scope, onClose }: { scope: Scope; onClose: () => void }) {
  const [timeout, setTimeoutText] = useState("7d");
  const [tags, setTags] = useState("");
  const [created, setCreated] = useState<Token>();
  const create = useAction({
    run: () =>
      call("tokens.create", {
        scope,
        body: {
          timeout,
          tags: tags
            .split(",")
            .map((tag) => tag.trim())
            .filter(Boolean),
        },
      }),
    refresh: [[...scopeKey(scope), "tokens"]],
    onDone: setCreated,
    showsError: true,
  });
  if (created) return <NewToken token={created} onClose={onClose} />;
  return (
    <Dialog open onOpenChange={onClose} title="New token" description="Somebody outside completes it; a run that waits for it goes on.">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (!create.busy) create.start();
        }}
      >
        <div className="grid gap-3 sm:grid-cols-2">
          <TextField label="Expires after" hint="Such as 90s, 1h30m or 7d." value={timeout} onChange={setTimeoutText} mono required />
          <TextField label="Tags" optional hint="Separated by commas." value={tags} onChange={setTags} />
        </div>
        <FormError error={create.error} />
        <DialogActions>
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" look="primary" busy={create.busy} reason={timeout.trim() === "" ? "Say how long it lives" : undefined}>
            Create token
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  );
}

function NewToken({ token, onClose }: { token: Token; onClose: () => void }) {
  return (
    <Dialog open wide onOpenChange={onClose} title="Token created" description="The two secrets below are shown this once.">
      <div className="space-y-3 text-xs text-muted">
        <div>
          <p className="mb-1">Id</p>
          <CodeLine code={token.id} prompt="" />
        </div>
        <div>
          <p className="mb-1">Callback address: a POST to it completes the token</p>
          <CodeLine code={token.callback_url ?? ""} prompt="" />
        </div>
        <div>
          <p className="mb-1">Public access token, for a page of your own</p>
          <CodeLine code={token.public_access_token ?? ""} prompt="" />
        </div>
      </div>
      <DialogActions>
        <Button look="primary" onClick={onClose}>
          Done
        </Button>
      </DialogActions>
    </Dialog>
  );
}
