import { useQuery } from "@tanstack/react-query";
import { errorOfResponse } from "../api/api-error.ts";
import { send } from "../api/call.ts";
import { type FileRead, fileContentUrl } from "../api/queries.ts";
import { type Scope, scopeKey } from "../api/scope.ts";

const shownBytesMax = 512 * 1024;

export interface FileText {
  kind: "text" | "binary";
  text: string;
  size: number;
  /** Only the beginning was read. */
  cut: boolean;
}

/** The beginning of a file. A range is asked for, so that a huge file costs what is shown of it. */
export function useFileText(scope: Scope, read: FileRead) {
  return useQuery({
    queryKey: [...scopeKey(scope), "workspace", read.workspaceId, "content", read],
    queryFn: async ({ signal }): Promise<FileText> => {
      const response = await send(fileContentUrl(scope, read), { signal, headers: { range: `bytes=0-${shownBytesMax - 1}` } });
      // An empty file has no first byte.
      if (response.status === 416) return { kind: "text", text: "", size: 0, cut: false };
      if (!response.ok) throw await errorOfResponse(response);
      const bytes = new Uint8Array(await response.arrayBuffer());
      const size = Number(response.headers.get("x-helmr-workspace-file-size") ?? bytes.length);
      const binary = bytes.subarray(0, 8_000).includes(0);
      return { kind: binary ? "binary" : "text", text: binary ? "" : new TextDecoder().decode(bytes), size, cut: size > bytes.length };
    },
    retry: false,
  });
}
