import { useState } from "react";
import { call } from "../api/call.ts";
import { useAction } from "../hooks/use-action.ts";
import { Button } from "../ui/button.tsx";
import { TextField } from "../ui/field.tsx";
import { FormError } from "./form-error.tsx";
import { NameAndSlug, useNameAndSlug } from "./name-and-slug.tsx";

export function OrganizationForm({ needsToken }: { needsToken: boolean }) {
  const form = useNameAndSlug();
  const [token, setToken] = useState("");
  const create = useAction({
    run: () => call("auth.createOrganization", { body: { ...form.value, ...(needsToken ? { setup_token: token.trim() } : {}) } }),
    refresh: [["me"], ["projects"]],
    showsError: true,
  });
  const problem = form.problem ?? (needsToken && token.trim() === "" ? "The setup token is needed" : undefined);
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        if (!problem && !create.busy) create.start();
      }}
    >
      <NameAndSlug form={form} slugHint="Small letters, digits and dashes." />
      {needsToken ? (
        <div className="mt-3">
          <TextField
            label="Setup token"
            hint="Proves that you run this server: the value of HELMR_SETUP_TOKEN in its configuration."
            type="password"
            autoComplete="off"
            value={token}
            onChange={setToken}
            mono
            required
          />
        </div>
      ) : null}
      <FormError error={create.error} />
      <Button type="submit" look="primary" className="mt-4 w-full" busy={create.busy} reason={problem}>
        Create organization
      </Button>
    </form>
  );
}
