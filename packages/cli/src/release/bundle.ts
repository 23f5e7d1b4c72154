/**
 * Makes the published command: one file for Node 20.19 and newer, `dist/helmr.js` (or the path given as argument). Only esbuild stays
 * outside, because it is a binary; it is loaded when a deploy needs it.
 */
import { chmod } from "node:fs/promises";
import path from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const source = fileURLToPath(new URL("..", import.meta.url));

export async function bundleCli(outfile: string): Promise<void> {
  await build({
    entryPoints: [path.join(source, "main.ts")],
    outfile,
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20.19",
    external: ["esbuild"],
    legalComments: "inline",
    // Dependencies that are CommonJS ask for built-in modules through require.
    banner: {
      js: 'import { createRequire as helmrCreateRequire } from "node:module";\nconst require = helmrCreateRequire(import.meta.url);',
    },
    logLevel: "warning",
  });
  await chmod(outfile, 0o755);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await bundleCli(process.argv[2] ?? path.join(source, "..", "dist", "helmr.js"));
}
