import { useQuery } from "@tanstack/react-query";
import { type ReactNode, useState } from "react";
import { isStatus } from "../api/api-error.ts";
import { call } from "../api/call.ts";
import { deviceStatusQuery } from "../api/queries.ts";
import { CenteredPage } from "../components/centered-page.tsx";
import { ErrorState } from "../components/list-states.tsx";
import { FormError } from "../forms/form-error.tsx";
import { useAction } from "../hooks/use-action.ts";
import { useMe } from "../hooks/use-me.ts";
import { useQueryText, useSetQueryText } from "../hooks/use-query-text.ts";
import { Button } from "../ui/button.tsx";
import { TextField } from "../ui/field.tsx";
import { SkeletonRows } from "../ui/skeleton.tsx";

/** Approves or denies a login of the command line. */
export function DevicePage() {
  const { code = "" } = useQueryText();
  return (
    <CenteredPage title="Sign in a command line" detail="Somebody, hopefully you, ran helmr login in a terminal.">
      {code === "" ? <AskForCode /> : <Decide code={code} />}
    </CenteredPage>
  );
}

function AskForCode() {
  const [code, setCode] = useState("");
  const setQuery = useSetQueryText();
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        if (code.trim() !== "") setQuery({ code: code.trim().toUpperCase() });
      }}
    >
      <TextField
        label="Code"
        hint="As the terminal shows it."
        placeholder="ABCD-EFGH"
        value={code}
        onChange={setCode}
        mono
        autoComplete="off"
        autoFocus
      />
      <Button type="submit" look="primary" className="mt-3 w-full">
        Go on
      </Button>
    </form>
  );
}

function Decide({ code }: { code: string }) {
  const status = useQuery(deviceStatusQuery(code));
  const me = useMe();
  const refresh = [["device", code]];
  const approve = useAction({ run: () => call("auth.deviceApprove", { body: { user_code: code } }), refresh, showsError: true });
  const deny = useAction({ run: () => call("auth.deviceDeny", { body: { user_code: code } }), refresh, showsError: true });
  if (status.error) return isStatus(status.error, 400, 404) ? <UnknownCode code={code} /> : <ErrorState error={status.error} />;
  if (!status.data) return <SkeletonRows rows={2} />;
  switch (status.data.status) {
    case "approved":
    case "consumed":
      return <Said title="The command line is signed in">You can close this page and go on in the terminal.</Said>;
    case "denied":
      return <Said title="The login was denied">The terminal has been told. Nothing else is needed.</Said>;
    case "expired":
      return <Said title="The code is too old">Run helmr login again for a new one.</Said>;
    default:
      return (
        <>
          <p className="text-center text-xs text-muted">Does the terminal show this code?</p>
          <p className="my-3 text-center font-mono text-2xl font-semibold tracking-widest">{code.toUpperCase()}</p>
          <p className="mb-4 text-center text-sm text-muted">
            It will act as <span className="text-ink">{me?.display_name}</span>, with everything you may do.
          </p>
          <div className="grid grid-cols-2 gap-2">
            <Button busy={deny.busy} onClick={() => deny.start()}>
              Deny
            </Button>
            <Button look="primary" busy={approve.busy} onClick={() => approve.start()}>
              Approve
            </Button>
          </div>
          <FormError error={approve.error ?? deny.error} />
        </>
      );
  }
}

function UnknownCode({ code }: { code: string }) {
  const setQuery = useSetQueryText();
  return (
    <>
      <Said title={`No login waits with the code ${code}`}>It may be mistyped or too old.</Said>
      <Button className="mt-4 w-full" onClick={() => setQuery({ code: "" })}>
        Type another code
      </Button>
    </>
  );
}

function Said({ title, children }: { title: string; children: ReactNode }) {
  return (
    <div role="status" className="text-center text-sm">
      <p className="font-medium">{title}</p>
      <p className="mt-1 text-muted">{children}</p>
    </div>
  );
}
