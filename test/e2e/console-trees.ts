/** A workspace whose two runs have left files: a small report project, and the same with one report more and one line changed. */
import { randomUUID } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { imageOf, type StoredDevice, treeStore } from "@helmr/test/platform";
import type { ConsolePlane } from "./console-plane.ts";

export interface FilledWorkspace {
  workspaceId: string;
  /** Oldest first. */
  versions: readonly string[];
}

const files: Record<string, string> = {
  "README.md": "# Nightly reports\n\nOne file per day, written by `nightly-report`.\n",
  "package.json": `${JSON.stringify({ name: "reports", private: true, type: "module", scripts: { test: "node --test" } }, null, 2)}\n`,
  "src/regions.ts":
    'export const regions = ["emea", "amer", "apac"] as const;\n\n/** Orders without a country. */\nexport const fallback = "amer";\n',
  "src/format.ts": "export const euro = (cents: number) => (cents / 100).toFixed(2);\n",
  "reports/2026-06-03.md": "# 2026-06-03\n\n| region | orders |\n|---|---|\n| emea | 402 |\n| amer | 377 |\n",
  "reports/2026-06-04.md": "# 2026-06-04\n\n| region | orders |\n|---|---|\n| emea | 391 |\n| amer | 380 |\n",
};
const report = "# 2026-06-05\n\n| region | orders |\n|---|---|\n| emea | 410 |\n| amer | 366 |\n| apac | 428 |\n";

async function write(directory: string, contents: Record<string, string>): Promise<string> {
  for (const [name, text] of Object.entries(contents)) {
    const path = join(directory, name);
    await mkdir(join(path, ".."), { recursive: true });
    await writeFile(path, text);
  }
  return directory;
}

export async function fillWorkspace(plane: ConsolePlane): Promise<FilledWorkspace> {
  const trees = await treeStore(plane.plane);
  try {
    const from = await write(join(trees.directory, "source"), files);
    const first = await trees.store(
      await imageOf(join(trees.directory, "first"), { from, debugfs: ["symlink latest.md reports/2026-06-04.md"] }),
    );
    const added = join(
      await write(join(trees.directory, "more"), {
        "report.md": report,
        "format.ts": `${files["src/format.ts"]}export const none = "–";\n`,
      }),
    );
    const debugfs = [
      `write ${join(added, "report.md")} reports/2026-06-05.md`,
      "rm src/format.ts",
      `write ${join(added, "format.ts")} src/format.ts`,
      "rm reports/2026-06-03.md",
    ];
    const second = await trees.store(await imageOf(join(trees.directory, "second"), { from, debugfs }), first.manifest);
    const workspaceId = await leave(plane, first, {});
    await leave(plane, second, { workspace_id: workspaceId });
    const { versions } = (await plane.get(`/api/workspaces/${workspaceId}/versions`)).json as { versions: { id: string; state: string }[] };
    return {
      workspaceId,
      versions: versions
        .filter(({ state }) => state === "ready")
        .map(({ id }) => id)
        .reverse(),
    };
  } finally {
    await trees.close();
  }
}

async function leave(plane: ConsolePlane, { artifact }: StoredDevice, start: object): Promise<string> {
  const program = await plane.play("nightly-report", start);
  await program.run.complete(
    { status: "succeeded", exit_code: 0 },
    { workspace: { status: "captured", version_id: randomUUID(), artifact, size_bytes: 4_096, entry_count: Object.keys(files).length } },
  );
  return ((await plane.get(`/api/sessions/${program.sessionId}`)).json as { workspace_id: string }).workspace_id;
}
