/** Changing the live files of a workspace: through its machine, which is started when there is none. What is changed is seen under "live". */
import { useQueryClient } from "@tanstack/react-query";
import { Download, Trash2, Upload } from "lucide-react";
import { useRef } from "react";
import { errorOfResponse } from "../api/api-error.ts";
import { call, send, urlOf } from "../api/call.ts";
import type { FileRead } from "../api/queries.ts";
import { type Scope, scopeKey } from "../api/scope.ts";
import { useAction } from "../hooks/use-action.ts";
import { useReasonAgainst } from "../hooks/use-me.ts";
import { useSetQueryText } from "../hooks/use-query-text.ts";
import { Button, buttonClasses } from "../ui/button.tsx";
import { useConfirm } from "../ui/confirm.tsx";
import { nameOf, parentOf } from "../util/file-path.ts";

async function upload(url: string, file: File): Promise<void> {
  const response = await send(url, { method: "PUT", body: file, headers: { "content-type": "application/octet-stream" } });
  if (!response.ok) throw await errorOfResponse(response);
}

export function UploadButton({ scope, workspaceId, folder }: { scope: Scope; workspaceId: string; folder: string }) {
  const input = useRef<HTMLInputElement>(null);
  const setQuery = useSetQueryText();
  const denied = useReasonAgainst("workspace.files.write");
  const pathOf = (file: File) => (folder === "." ? file.name : `${folder}/${file.name}`);
  const write = useAction({
    run: async (files: readonly File[]) => {
      for (const file of files)
        await upload(urlOf("files.write", { scope, params: { id: workspaceId }, query: { path: pathOf(file) } }), file);
      return files.length;
    },
    refresh: [[...scopeKey(scope), "workspace", workspaceId]],
    done: (count) => (count === 1 ? "The file is written" : `${count} files are written`),
    onDone: () => setQuery({ source: "live", version: "" }),
  });
  return (
    <>
      <input
        ref={input}
        type="file"
        multiple
        hidden
        aria-label="Files to upload"
        onChange={({ target }) => {
          const files = [...(target.files ?? [])];
          target.value = "";
          if (files.length > 0) write.start(files);
        }}
      />
      <Button size="small" icon={<Upload />} busy={write.busy} reason={denied} onClick={() => input.current?.click()}>
        Upload
      </Button>
    </>
  );
}

export function ArchiveLink({ scope, read }: { scope: Scope; read: FileRead }) {
  const url = urlOf("files.download", { scope, params: { id: read.workspaceId }, query: { path: read.path } });
  const name = read.path === "." ? "workspace" : nameOf(read.path);
  return (
    <a href={url} download={`${name}.tar`} className={buttonClasses("plain", "small")}>
      <Download aria-hidden="true" /> tar
    </a>
  );
}

export function RemoveFileButton({ scope, read }: { scope: Scope; read: FileRead }) {
  const confirm = useConfirm();
  const client = useQueryClient();
  const setQuery = useSetQueryText();
  const denied = useReasonAgainst("workspace.files.write");
  const remove = useAction({
    run: () => call("files.remove", { scope, params: { id: read.workspaceId }, query: { path: read.path } }),
    done: `${nameOf(read.path)} is deleted`,
    onDone: () => {
      const parent = parentOf(read.path);
      setQuery({ file: "", path: parent === "." ? "" : parent, source: "live", version: "" });
      void client.invalidateQueries({ queryKey: [...scopeKey(scope), "workspace", read.workspaceId] });
    },
  });
  const ask = async () => {
    const detail = "It is deleted from the live files. Versions that hold it stay as they are.";
    if (await confirm({ title: `Delete ${nameOf(read.path)}?`, detail, action: "Delete file" })) remove.start();
  };
  return (
    <Button size="small" icon={<Trash2 />} busy={remove.busy} reason={denied} onClick={() => void ask()}>
      Delete
    </Button>
  );
}
