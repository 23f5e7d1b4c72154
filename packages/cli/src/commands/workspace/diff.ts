import type { TreeChange } from "@helmr/protocol/api";
import { argument, environmentCommand, jsonFlag, optionalArgument, text, toggle } from "../../command.ts";
import { exampleVersion, exampleWorkspace } from "./lines.ts";

const letters = { added: "A", removed: "D", changed: "M" } as const;

export const workspaceDiff = environmentCommand({
  name: "workspace diff",
  summary: "show which files differ between two versions, without a machine",
  details: "By default the current version against the one before it. A is added, D is removed, M is changed.",
  examples: [
    { says: "what the last run changed", command: `helmr workspace diff ${exampleWorkspace}` },
    { says: "since a version, as a patch", command: `helmr workspace diff ${exampleWorkspace} src --from ${exampleVersion} --patch` },
  ],
  args: { workspace: argument("WORKSPACE", "id of the workspace"), path: optionalArgument("PATH", "only this file or directory") },
  flags: {
    ...jsonFlag,
    from: text("VERSION", "version to begin with; default: the one before"),
    fromWorkspace: text("WORKSPACE", "workspace of --from, when it is another one"),
    to: text("VERSION", "version to end with; default: the current one"),
    patch: toggle("show text files as unified diffs"),
  },
  async run(context) {
    const { args, flags, out } = context;
    const api = await context.environment();
    const sides = { from: flags.from, from_workspace_id: flags.fromWorkspace, to: flags.to };
    const params = { id: args.workspace };
    const changes: TreeChange[] = [];
    for (let cursor: string | undefined; ;) {
      const page = await api.call("versions.diff", { params, query: { ...sides, path: args.path, cursor, limit: 500 } });
      // Both versions stay what the first page named, whatever becomes the current one meanwhile.
      sides.from = page.from_version_id ?? sides.from;
      sides.to = page.to_version_id;
      changes.push(...page.changes);
      cursor = page.next_cursor;
      if (cursor !== undefined) continue;
      if (flags.json) return out.json({ ...page, changes });
      break;
    }
    if (!flags.patch) return out.lines(changes.map(({ change, path }) => `${letters[change]} ${path}`));
    for (const { change, path, before, after } of changes) {
      const isFile = (before?.kind ?? "file") === "file" && (after?.kind ?? "file") === "file";
      const file = isFile ? await api.call("versions.fileDiff", { params, query: { ...sides, path } }) : undefined;
      if (file?.format === "text") await out.write(file.unified ?? "");
      else
        await out.line(
          `${letters[change]} ${path}${file === undefined ? "" : file.format === "binary" ? " (binary)" : " (too large to show)"}`,
        );
    }
    return undefined;
  },
});
