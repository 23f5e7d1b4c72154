/** A file, directory or link of a version as the API shows it (http §12). */
import type { FileEntry } from "@helmr/protocol/api";
import type { TreeEntry } from "../../operations/read-files.ts";

export function entryView(entry: TreeEntry): FileEntry {
  const { seconds, nanoseconds } = entry.modified;
  return {
    path: entry.path,
    kind: entry.kind,
    size_bytes: entry.sizeBytes,
    mode: entry.mode,
    ...(entry.linkTarget === undefined ? {} : { link_target: entry.linkTarget }),
    mod_time: instantText(seconds, nanoseconds),
  };
}

/** RFC 3339 with up to nine digits, trailing zeros trimmed (http, "How to read"). */
function instantText(seconds: number, nanoseconds: number): string {
  const whole = new Date(seconds * 1000).toISOString().slice(0, 19);
  const fraction = String(nanoseconds).padStart(9, "0").replace(/0+$/, "");
  return `${whole}${fraction === "" ? "" : `.${fraction}`}Z`;
}
