/** What is done to lock files of other package managers than npm: the SDK is the platform's (install-plan.ts), and nothing may be resolved anew. */
import type { PackageManagerName } from "@helmr/protocol/guest";

const sdkName = "@helmr/sdk";

/** A lock file of pnpm that agrees with a package.json without the SDK; what it knows of packages that nobody asks for any more is harmless. */
export function withoutSdk(text: string): string {
  const kept: string[] = [];
  /** Indentation of the entry that is being left out. */
  let dropped = Infinity;
  for (const line of text.split("\n")) {
    const indent = line.length - line.trimStart().length;
    if (line.trim() !== "" && indent > dropped) continue;
    const isSdk = line.trim() === `'${sdkName}':`;
    dropped = isSdk ? indent : Infinity;
    if (!isSdk) kept.push(line);
  }
  return kept.join("\n");
}

/** Berry and bun have no check that allows for a dependency less: what they added is looked for afterwards. Binary lock files show nothing. */
export function addedPackages(manager: PackageManagerName, before: string, after: string): string[] {
  const pattern = manager === "bun" ? /"[^"\n]+":\s*\[\s*"(@?[^"@\n]+@[^"\n]+)"/g : /^ {2}resolution: "([^"\n]+)"$/gm;
  const known = new Set([...before.matchAll(pattern)].map(([, found]) => found));
  const found = [...after.matchAll(pattern)].flatMap(([, one]) =>
    one === undefined || known.has(one) || one.includes("@workspace:") ? [] : [one],
  );
  return [...new Set(found)];
}
