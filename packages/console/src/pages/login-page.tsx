import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { call } from "../api/call.ts";
import { authMethodsQuery } from "../api/queries.ts";
import { CenteredPage } from "../components/centered-page.tsx";
import { ItemState } from "../components/list-states.tsx";
import { FormError } from "../forms/form-error.tsx";
import { useAction } from "../hooks/use-action.ts";
import { useQueryText } from "../hooks/use-query-text.ts";
import { Button } from "../ui/button.tsx";
import { CodeLine } from "../ui/code-line.tsx";
import { TextField } from "../ui/field.tsx";

export function LoginPage() {
  const methods = useQuery(authMethodsQuery());
  const { next } = useQueryText();
  return (
    <CenteredPage title="Sign in to Helmr">
      <ItemState query={methods}>
        {({ github, magic_link: magicLink, local_link: localLink }) => (
          <div className="space-y-5">
            {localLink ? <LocalHint /> : null}
            {github ? <GithubLogin next={next} /> : null}
            {magicLink ? <MagicLinkLogin next={next} folded={localLink} /> : null}
          </div>
        )}
      </ItemState>
    </CenteredPage>
  );
}

/** This install prints a link that signs in without a mail. */
function LocalHint() {
  return (
    <div>
      <p className="text-sm font-medium">This is a local install</p>
      <p className="mt-1 mb-2 text-sm text-muted">The terminal that runs Helmr has printed a sign-in link. Run this again for a new one:</p>
      <CodeLine code="./helmr up" />
    </div>
  );
}

function GithubLogin({ next }: { next: string | undefined }) {
  const start = useAction({
    run: () => call("auth.githubStart", { body: next === undefined ? {} : { next } }),
    onDone: ({ redirect_url: url }) => location.assign(url),
    showsError: true,
  });
  return (
    <div>
      <Button look="primary" className="w-full" busy={start.busy} onClick={() => start.start()}>
        Continue with GitHub
      </Button>
      <FormError error={start.error} />
    </div>
  );
}

function MagicLinkLogin({ next, folded }: { next: string | undefined; folded: boolean }) {
  const form = <MagicLinkForm next={next} />;
  if (!folded) return form;
  return (
    <details className="border-t border-line pt-4">
      <summary className="text-sm text-muted hover:text-ink">Sign in by e-mail instead</summary>
      <div className="mt-3">{form}</div>
    </details>
  );
}

function MagicLinkForm({ next }: { next: string | undefined }) {
  const [email, setEmail] = useState("");
  const [sent, setSent] = useState<{ debugUrl: string | undefined }>();
  const start = useAction({
    run: () => call("auth.magicLinkStart", { body: { email, ...(next === undefined ? {} : { next }) } }),
    onDone: ({ debug_url: debugUrl }) => setSent({ debugUrl }),
    showsError: true,
  });
  if (sent) return <LinkSent email={email} debugUrl={sent.debugUrl} />;
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        if (email !== "" && !start.busy) start.start();
      }}
    >
      <TextField label="E-mail address" type="email" name="email" autoComplete="email" required value={email} onChange={setEmail} />
      <FormError error={start.error} />
      <Button type="submit" className="mt-3 w-full" busy={start.busy}>
        Send me a sign-in link
      </Button>
    </form>
  );
}

export function LinkSent({ email, debugUrl }: { email?: string; debugUrl: string | undefined }) {
  return (
    <div role="status" className="text-sm">
      <p className="font-medium">Look into your mail</p>
      <p className="mt-1 text-muted">
        If {email === undefined || email === "" ? "the address" : <span className="text-ink">{email}</span>} has an account here, a link is
        on its way. It works once, for 15 minutes.
      </p>
      {debugUrl === undefined ? null : (
        <a href={debugUrl} className="mt-2 inline-block break-all text-accent underline">
          Open the link (this server shows it for testing)
        </a>
      )}
    </div>
  );
}
