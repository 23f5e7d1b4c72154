import type { PortPreview } from "@helmr/protocol/api";
import { ExternalLink } from "lucide-react";
import { useState } from "react";
import { call } from "../api/call.ts";
import type { Scope } from "../api/scope.ts";
import { FormError } from "../forms/form-error.tsx";
import { useAction } from "../hooks/use-action.ts";
import { useReasonAgainst } from "../hooks/use-me.ts";
import { Button, buttonClasses } from "../ui/button.tsx";
import { CodeLine } from "../ui/code-line.tsx";
import { TextField } from "../ui/field.tsx";
import { RelativeTime } from "./relative-time.tsx";

const portMax = 65_535;

/** A link to what listens in the workspace's machine. Whoever has it sees it until it expires. */
export function PortPanel({ scope, workspaceId }: { scope: Scope; workspaceId: string }) {
  const [port, setPort] = useState("");
  const [preview, setPreview] = useState<PortPreview>();
  const denied = useReasonAgainst("workspace.ports.expose");
  const number = Number(port);
  const problem = /^\d{1,5}$/.test(port) && number >= 1 && number <= portMax ? undefined : "Give a port between 1 and 65535";
  const make = useAction({
    run: () => call("ports.preview", { scope, params: { id: workspaceId, port }, body: {} }),
    onDone: setPreview,
    showsError: true,
  });
  return (
    <div className="max-w-2xl space-y-4 p-3.5">
      <p className="text-sm text-muted">
        A program that listens on a port of the workspace's machine, such as a development server, can be seen through a link of its own.
      </p>
      <form
        className="flex items-end gap-2"
        onSubmit={(event) => {
          event.preventDefault();
          if (!problem && denied === undefined && !make.busy) make.start();
        }}
      >
        <div className="w-32">
          <TextField label="Port" value={port} onChange={setPort} inputMode="numeric" placeholder="5173" mono />
        </div>
        <Button type="submit" look="primary" busy={make.busy} reason={denied ?? problem}>
          Make a link
        </Button>
      </form>
      <FormError error={make.error} />
      {preview ? (
        <div className="space-y-2 border-t border-line pt-4">
          <CodeLine code={preview.url} prompt="" />
          <p className="flex items-center gap-3 text-xs text-muted">
            <a href={preview.url} target="_blank" rel="noreferrer" className={buttonClasses("plain", "small")}>
              <ExternalLink aria-hidden="true" /> Open port {preview.port}
            </a>
            <span>
              works until <RelativeTime at={preview.expires_at} />
            </span>
          </p>
        </div>
      ) : null}
    </div>
  );
}
