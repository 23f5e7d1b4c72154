import type { FileEntry } from "@helmr/protocol/api";
import { argument, environmentCommand, jsonFlag, optionalArgument, text } from "../../command.ts";
import { instant } from "../../text/instant.ts";
import { tabbed } from "../../text/table.ts";
import { allEntries, sourceQuery } from "./file-source.ts";
import { exampleVersion, exampleWorkspace } from "./lines.ts";

export const workspaceFiles = environmentCommand({
  name: "workspace files",
  summary: "list the files of a directory, without a machine",
  details: "Of the current version, or of another one: permission bits, size, time of the last change, path. Directories end with a slash.",
  examples: [
    { says: "of the workspace itself", command: `helmr workspace files ${exampleWorkspace}` },
    { says: "of a directory in an old version", command: `helmr workspace files ${exampleWorkspace} src --version ${exampleVersion}` },
  ],
  args: {
    workspace: argument("WORKSPACE", "id of the workspace"),
    path: optionalArgument("PATH", "directory; default: all of the workspace"),
  },
  flags: { ...jsonFlag, version: text("VERSION", "id of a version; default: the current one") },
  async run(context) {
    const { args, flags } = context;
    const api = await context.environment();
    const path = args.path ?? ".";
    const entries: FileEntry[] = [];
    for await (const entry of allEntries(api, { workspace: args.workspace, path, source: sourceQuery(flags.version) })) entries.push(entry);
    if (flags.json) return context.out.json({ path, entries });
    return context.out.lines(entries.map(entryLine));
  },
});

function entryLine({ mode, size_bytes, mod_time, path, kind, link_target }: FileEntry): string {
  const shown = kind === "directory" ? `${path}/` : link_target === undefined ? path : `${path} -> ${link_target}`;
  return tabbed(mode.toString(8).padStart(4, "0"), size_bytes, mod_time === undefined ? undefined : instant(mod_time), shown);
}
