/** Where GitHub and the links in mails lead: the code is exchanged once, then the console opens. */
import { useEffect, useRef } from "react";
import { ApiError, explainError } from "../api/api-error.ts";
import { call } from "../api/call.ts";
import { CenteredPage } from "../components/centered-page.tsx";
import { useAction } from "../hooks/use-action.ts";
import { useQueryText } from "../hooks/use-query-text.ts";
import { AppLink } from "../ui/app-link.tsx";
import { buttonClasses } from "../ui/button.tsx";
import { Spinner } from "../ui/spinner.tsx";
import { paths } from "../util/paths.ts";

type Finish = () => Promise<{ redirect_after: string }>;

export function GithubCallbackPage() {
  const { code, state, error, error_description } = useQueryText();
  return <FinishLogin finish={() => call("auth.githubFinish", { body: { code, state, error, error_description } })} />;
}

export function MagicLinkCallbackPage() {
  const { token = "" } = useQueryText();
  return <FinishLogin finish={() => call("auth.magicLinkFinish", { body: { token } })} />;
}

const advice: Record<NonNullable<ApiError["kind"]>, string> = {
  invalid_token: "The link was used before, is too old, or is not complete. Ask for a new one.",
  wrong_account: "The invitation is for another address. Sign in with that one.",
  no_account: "There is no account with this address. Ask an owner of the organization for an invitation.",
  already_member: "You are a member already. Sign in as usual.",
  disabled_member: "Your membership was disabled. Ask an owner of the organization.",
  unauthenticated: "The sign-in was not completed. Try it again.",
};

function FinishLogin({ finish }: { finish: Finish }) {
  const begun = useRef(false);
  const action = useAction({
    run: finish,
    // A whole load: everything that was read as somebody else is gone.
    onDone: ({ redirect_after: after }) => location.replace(after),
    showsError: true,
  });
  useEffect(() => {
    // A code can be exchanged once, and effects can run twice.
    if (begun.current) return;
    begun.current = true;
    action.start();
  });
  if (action.error === null) {
    return (
      <CenteredPage title="Signing in">
        <p className="flex items-center justify-center gap-2 text-sm text-muted" role="status">
          <Spinner /> One moment
        </p>
      </CenteredPage>
    );
  }
  const { detail } = explainError(action.error);
  const kind = action.error instanceof ApiError ? action.error.kind : undefined;
  return (
    <CenteredPage title="The sign-in did not work">
      <p role="alert" className="text-sm">
        {kind === undefined ? detail : advice[kind]}
      </p>
      <AppLink href={paths.login()} className={`${buttonClasses("primary")} mt-4 w-full`}>
        Back to sign in
      </AppLink>
    </CenteredPage>
  );
}
