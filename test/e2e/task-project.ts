/** Task projects that tests write themselves: a folder outside the repository that resolves the repository's SDK. */
import { mkdir, mkdtemp, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { repository } from "./local-install.ts";

const sdk = join(repository, "packages", "sdk");

/** What a project of `helmr init` has beside its tasks; a file given as null is left out. */
export async function taskProject(files: Record<string, string | null>, parent = tmpdir()): Promise<string> {
  const directory = await mkdtemp(join(parent, "helmr-e2e-project-"));
  await mkdir(join(directory, "node_modules", "@helmr"), { recursive: true });
  await symlink(sdk, join(directory, "node_modules", "@helmr", "sdk"));
  const all: Record<string, string | null> = {
    "package.json": JSON.stringify({
      private: true,
      type: "module",
      dependencies: { "@helmr/sdk": "0.1.0" },
      packageManager: "npm@11.19.1",
    }),
    "helmr.config.ts": 'import { defineConfig } from "@helmr/sdk";\nexport default defineConfig({ project: "e2e", dirs: ["./tasks"] });\n',
    ...files,
  };
  for (const [path, text] of Object.entries(all)) {
    if (text === null) continue;
    await mkdir(dirname(join(directory, path)), { recursive: true });
    await writeFile(join(directory, path), text);
  }
  return directory;
}
