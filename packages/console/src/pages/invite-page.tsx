import { useQuery } from "@tanstack/react-query";
import { call } from "../api/call.ts";
import { authMethodsQuery } from "../api/queries.ts";
import { CenteredPage } from "../components/centered-page.tsx";
import { ItemState } from "../components/list-states.tsx";
import { FormError } from "../forms/form-error.tsx";
import { useAction } from "../hooks/use-action.ts";
import { useQueryText } from "../hooks/use-query-text.ts";
import { Button } from "../ui/button.tsx";
import { useState } from "react";
import { LinkSent } from "./login-page.tsx";

export function InvitePage() {
  const { token = "" } = useQueryText();
  const methods = useQuery(authMethodsQuery());
  if (token === "") return <CenteredPage title="The invitation is not complete" detail="Open the whole link you were sent." />;
  return (
    <CenteredPage title="You are invited to Helmr" detail="Prove that the address of the invitation is yours.">
      <ItemState query={methods}>
        {({ github, magic_link: magicLink }) => (
          <div className="space-y-3">
            {github ? <ByGithub token={token} /> : null}
            {magicLink ? <ByMail token={token} /> : null}
          </div>
        )}
      </ItemState>
    </CenteredPage>
  );
}

function ByGithub({ token }: { token: string }) {
  const start = useAction({
    run: () => call("auth.githubInviteStart", { body: { token } }),
    onDone: ({ redirect_url: url }) => location.assign(url),
    showsError: true,
  });
  return (
    <div>
      <Button look="primary" className="w-full" busy={start.busy} onClick={() => start.start()}>
        Accept with GitHub
      </Button>
      <FormError error={start.error} />
    </div>
  );
}

function ByMail({ token }: { token: string }) {
  const [sent, setSent] = useState<{ email: string; debugUrl: string | undefined }>();
  const start = useAction({
    run: () => call("auth.magicLinkInviteStart", { body: { token } }),
    onDone: ({ email = "", debug_url: debugUrl }) => setSent({ email, debugUrl }),
    showsError: true,
  });
  if (sent) return <LinkSent email={sent.email} debugUrl={sent.debugUrl} />;
  return (
    <div>
      <Button className="w-full" busy={start.busy} onClick={() => start.start()}>
        Accept by e-mail
      </Button>
      <FormError error={start.error} />
    </div>
  );
}
