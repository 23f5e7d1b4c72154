/** package.json and .npmrc of a project: what is missing is added, what is there stays. */
import { helmrVersion } from "@helmr/protocol/shared";
import { hasScopeLine, scopeLine } from "../deploy/install.ts";
import { sdkName } from "../deploy/package-file.ts";
import { Failure, reasonOf } from "../failure.ts";

type Manifest = Record<string, unknown> & { dependencies?: Record<string, unknown> };

/** The SDK of the same release, as long as that is one that can be named. */
const sdkRange = /^\d+\.\d+\.\d+$/.test(helmrVersion) ? helmrVersion : "latest";

/** `present` is the text of package.json, if there is one. */
export function mergedManifest(present: string | undefined, options: { file: string; packageManager: string }): string {
  const manifest: Manifest = present === undefined ? { private: true, type: "module" } : parsed(present, options.file);
  const { dependencies = {} } = manifest;
  if (typeof dependencies !== "object" || Array.isArray(dependencies))
    throw new Failure(`dependencies of ${options.file} is not an object`);
  const merged: Manifest = {
    ...manifest,
    dependencies: sdkName in dependencies ? dependencies : { ...dependencies, [sdkName]: sdkRange },
    packageManager: manifest["packageManager"] ?? options.packageManager,
  };
  return `${JSON.stringify(merged, null, indentation(present))}\n`;
}

function parsed(text: string, file: string): Manifest {
  let value: unknown;
  try {
    value = JSON.parse(text.replace(/^\uFEFF/, ""));
  } catch (error) {
    throw new Failure(`${file} is not valid JSON: ${reasonOf(error)}`, { cause: error });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Failure(`${file} is not a JSON object`);
  return value as Manifest;
}

/** As the file has it, so that the difference is what was added. */
function indentation(text: string | undefined): string | number {
  return /^[{]\r?\n([ \t]+)"/.exec(text ?? "")?.[1] ?? 2;
}

/** Undefined when nothing has to be written. */
export function withScopeLine(present: string | undefined, apiUrl: string): string | undefined {
  if (present === undefined || present.trim() === "") return `${scopeLine(apiUrl)}\n`;
  if (hasScopeLine(present)) return undefined;
  return `${present.replace(/\r?\n?$/, "\n")}${scopeLine(apiUrl)}\n`;
}
