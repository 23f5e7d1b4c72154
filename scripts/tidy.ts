/**
 * House rules that linters do not know, each with the sentence a breaker reads. The rules are data below; `tidy.test.ts` proves that each one
 * can fail. Sizes of files and functions are the linter's business (.oxlintrc.json).
 */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { basename, dirname, join, posix, relative } from "node:path";
import { repository } from "./run-step.ts";

export interface Source {
  /** Relative to the repository. */
  path: string;
  text: string;
}

export interface Finding {
  path: string;
  line: number;
  message: string;
}

/** Who may import which of our packages (house §1). Tests beside the code may also use @helmr/test/services. */
const packageImports: Record<string, readonly string[]> = {
  protocol: [],
  sdk: ["protocol"],
  cli: ["sdk", "protocol"],
  console: ["sdk", "protocol"],
  server: ["protocol"],
  worker: ["protocol"],
  guest: ["protocol", "sdk"],
  // `up` packs the SDK that the control plane serves under /npm/.
  local: ["images", "sdk"],
};

/** Layers inside the server, top first: a layer imports only itself and what stands below it. Files beside the folders are shared. */
const serverMay: Record<string, readonly string[]> = {
  main: ["http", "reconcilers", "operations", "store", "domain", "dispatch", "blobs", "mail", "files"],
  http: ["operations", "domain"],
  reconcilers: ["operations", "store", "domain", "dispatch", "blobs"],
  operations: ["store", "domain", "dispatch", "blobs", "mail", "files", "chunks"],
  store: ["domain"],
  dispatch: ["store", "domain"],
  blobs: [],
  mail: [],
  domain: [],
  // Trees of stored versions: files (the port and its thread) → chunks (opening what workers sealed) → ext4 (pure).
  files: ["chunks", "ext4", "blobs"],
  chunks: ["ext4"],
  ext4: [],
};

const bannedNames = new Set(["utils", "util", "helpers", "helper", "common", "misc", "types", "constants", "manager", "service", "base"]);

/** Packages only some folders may name. */
const confined = [
  { name: "pg", allowed: /^(packages\/server\/src\/store\/|test\/|scripts\/)/, message: "only the server's store and tests may import pg" },
  {
    name: "fastify",
    allowed: /^(packages\/server\/src\/http\/|packages\/server\/src\/main\/|test\/)/,
    message: "only server/http and server/main may import fastify",
  },
];

export function tidy(sources: readonly Source[]): Finding[] {
  return sources.flatMap((source) => [...imports(source), ...names(source), ...content(source)]);
}

function isTest(path: string): boolean {
  return /\.(pg\.|vm\.)?test\.ts$|\.fixture\.ts$|\.(contract|e2e|chaos|bench)\.ts$/.test(path);
}

function imports(source: Source): Finding[] {
  const [area, owner = ""] = source.path.split("/");
  if (area !== "packages") return [];
  return importLines(source.text).flatMap(({ line, specifier, typeOnly }) => {
    const problem = importProblem({ path: source.path, owner, specifier, typeOnly });
    return problem ? [{ path: source.path, line, message: problem }] : [];
  });
}

interface Import {
  path: string;
  owner: string;
  specifier: string;
  typeOnly: boolean;
}

function importProblem({ path, owner, specifier, typeOnly }: Import): string | undefined {
  const rule = confined.find(({ name, allowed }) => (specifier === name || specifier.startsWith(`${name}/`)) && !allowed.test(path));
  if (rule && !isTest(path) && !typeOnly) return rule.message;
  if (owner === "protocol" && specifier.startsWith("node:") && !isTest(path))
    return "protocol is data and codecs: it imports no node: module";
  if (owner === "sdk" && specifier.startsWith("node:") && !isTest(path) && !/^packages\/sdk\/(src\/node|scripts)\//.test(path)) {
    return "the SDK also runs in browsers: node: imports belong in sdk/src/node";
  }
  const ours = /^@helmr\/([a-z]+)/.exec(specifier)?.[1];
  if (ours !== undefined) return packageProblem({ path, owner, ours });
  if (!specifier.startsWith(".")) return undefined;
  const target = posix.normalize(posix.join(dirname(path), specifier));
  if (!target.startsWith(`packages/${owner}/`)) return `${specifier} leaves the package: import another package by its entry points`;
  return owner === "server" ? layerProblem(path, target) : undefined;
}

function packageProblem({ path, owner, ours }: { path: string; owner: string; ours: string }): string | undefined {
  if (ours === owner || (ours === "test" && isTest(path))) return undefined;
  if (!(packageImports[owner] ?? []).includes(ours))
    return `${owner} must not import @helmr/${ours} (scripts/tidy.ts says who may import whom)`;
  if (owner === "guest" && ours === "sdk" && !/^packages\/guest\/(src\/(program|build)\/|build\.ts)/.test(path)) {
    return "only the guest's program and build may import the SDK; the supervisor must not";
  }
  return undefined;
}

function layerProblem(path: string, target: string): string | undefined {
  if (isTest(path)) return undefined;
  const from = /^packages\/server\/src\/([a-z]+)\//.exec(path)?.[1];
  const to = /^packages\/server\/src\/([a-z]+)\//.exec(target)?.[1];
  if (!from || !to || from === to) return undefined;
  if ((serverMay[from] ?? []).includes(to)) return undefined;
  return `server/${from} must not import server/${to}: the direction is http → operations → store → domain`;
}

function importLines(text: string): { line: number; specifier: string; typeOnly: boolean }[] {
  const found: { line: number; specifier: string; typeOnly: boolean }[] = [];
  const pattern = /(?:^|\n)\s*(?:import|export)\s+(type\s)?(?:[^"';]*?\sfrom\s+)?["']([^"'\n]+)["']|\bimport\(\s*["']([^"'\n]+)["']\s*\)/g;
  for (const match of text.matchAll(pattern)) {
    const specifier = match[2] ?? match[3];
    if (specifier === undefined) continue;
    const line = text.slice(0, (match.index ?? 0) + match[0].length).split("\n").length;
    found.push({ line, specifier, typeOnly: match[1] !== undefined });
  }
  return found;
}

function names(source: Source): Finding[] {
  const name = basename(source.path);
  const stem = name.replace(/\..*$/, "");
  const at = (message: string): Finding => ({ path: source.path, line: 1, message });
  const findings: Finding[] = [];
  if (source.path.startsWith("packages/") && bannedNames.has(stem))
    findings.push(at(`"${stem}" says nothing: name the file by the one idea it holds`));
  if (/\.tsx?$/.test(name) && !/^[a-z0-9]+(-[a-z0-9]+)*(\.[a-z0-9]+)*\.tsx?$/.test(name)) findings.push(at("file names are kebab-case"));
  if (source.path.startsWith("packages/server/migrations/") && !/^-- breaking: (yes|no)$/m.test(source.text)) {
    findings.push(at("a migration says in its header whether older binaries may go on: -- breaking: yes or no"));
  }
  for (const [kind, folder] of [
    ["contract", "test/contract/"],
    ["e2e", "test/e2e/"],
    ["chaos", "test/chaos/"],
    ["bench", "test/bench/"],
  ] as const) {
    if (source.path.endsWith(`.${kind}.ts`) && !source.path.startsWith(folder)) findings.push(at(`*.${kind}.ts belongs in ${folder}`));
  }
  return findings;
}

const contentRules: { pattern: RegExp; message: string; applies(path: string): boolean }[] = [
  {
    pattern: /\b(it|test|describe)\.only\(/,
    message: ".only hides every other test",
    applies: (path) => isTest(path) && path !== "scripts/tidy.test.ts",
  },
  {
    pattern: /\b(TODO|FIXME|XXX)\b(?!\(#\d+\))/,
    message: "a TODO names its issue: TODO(#123)",
    applies: (path) => path !== "scripts/tidy.ts" && path !== "scripts/tidy.test.ts",
  },
  {
    pattern: /\bthrow new Error\(/,
    message: "throw an error with a name of its own, a refusal, or use assert (docs/adr/0006-error-model.md)",
    applies: (path) =>
      path.startsWith("packages/") && !isTest(path) && !path.endsWith("assert.ts") && !/\.test\.ts$|\/testing\//.test(path),
  },
  {
    pattern: /firecracker/i,
    message: "only worker/src/vm/firecracker knows that monitor",
    applies: (path) => path.startsWith("packages/worker/src/") && !path.startsWith("packages/worker/src/vm/"),
  },
  {
    pattern: /\bqemu\b/i,
    message: "only worker/src/vm/qemu knows that monitor",
    applies: (path) =>
      path.startsWith("packages/worker/src/") && !/^packages\/worker\/src\/(vm|disks|main\.ts|config\.ts)/.test(path) && !isTest(path),
  },
];

function content(source: Source): Finding[] {
  if (!/\.(ts|tsx|c|h)$/.test(source.path)) return [];
  const rules = contentRules.filter((rule) => rule.applies(source.path));
  return source.text
    .split("\n")
    .flatMap((text, index) =>
      rules.filter((rule) => rule.pattern.test(text)).map((rule) => ({ path: source.path, line: index + 1, message: rule.message })),
    );
}

/** Rules about the repository as a whole. */
export function missing(paths: readonly string[]): Finding[] {
  const all = new Set(paths);
  return paths
    .filter((path) => /^packages\/server\/src\/operations\/[a-z0-9-]+\.ts$/.test(path) && !isTest(path))
    .filter((path) => !all.has(path.replace(/\.ts$/, ".pg.test.ts")) && !operationsTestedElsewhere.has(basename(path, ".ts")))
    .map((path) => ({ path, line: 1, message: `an operation has a database test beside it: ${basename(path, ".ts")}.pg.test.ts` }));
}

/**
 * Prose that names a file names one that exists: a path in backticks is a path from the root, from the page, or the end of a file's path, and a link
 * leads somewhere. `{a,b}` and placeholders in capitals are left alone.
 */
export function pages(prose: readonly Source[], paths: readonly string[]): Finding[] {
  const known = new Set(paths);
  const folders = new Set(paths.flatMap((path) => parents(path)));
  return prose.flatMap(({ path, text }) =>
    text.split("\n").flatMap((line, index) => {
      const from = (target: string) => posix.normalize(posix.join(posix.dirname(path), target)).replace(/\/$/, "");
      const exists = (target: string) => known.has(target) || folders.has(target);
      const files = [...line.matchAll(/`((?:[\w.-]+\/)+[\w.-]+\.(?:tsx?|sql|md))`/g)]
        .map(([, target = ""]) => target)
        .filter(
          (target) =>
            !/[A-Z]{4}/.test(target) && !exists(from(target)) && !paths.some((known) => known === target || known.endsWith(`/${target}`)),
        );
      const links = [...line.matchAll(/\]\(([^)\s#:]+)(?:#[^)]*)?\)/g)]
        .map(([, target = ""]) => target)
        .filter((target) => !exists(from(target)));
      return [...files, ...links].map((target) => ({ path, line: index + 1, message: `there is no ${target}` }));
    }),
  );
}

function parents(path: string): string[] {
  const parts = path.split("/");
  return parts.slice(1).map((_, index) => parts.slice(0, index + 1).join("/"));
}

/** Operation files without a test of their own name, each with the reason. */
const operationsTestedElsewhere = new Set<string>([
  // The life of a mount and of what runs in it is one story each.
  "ensure-mount", // end-mount
  "grant-mount-leases", // end-mount
  "materialize-workspace", // end-mount
  "mount-hooks", // end-mount
  "settle-execs", // end-mount
  "stop-idle-mount", // end-mount
  "stop-workspace", // end-mount
  "control-exec", // start-exec
  "exec-directives", // start-exec
  "read-execs", // start-exec
  "report-exec", // start-exec
  "write-input", // start-exec
  // Steps of others, tested with the operations they are part of.
  "check-artifact", // complete-attempt, end-build
  "diff-versions", // test/contract/files
  "end-attempt", // complete-attempt, lose-lease
  "enqueue-run", // complete-attempt, lose-lease
  "lose-checkpoint", // resume-run
  "fork-for-run", // resume-run
  "abandon-resume", // resume-run
  "finish-run", // complete-attempt, cancel-run, expire-run
  "grant-leases", // claim-leases
  "object-access", // test/contract/blobs
  "read-deployments", // promote-deployment
  "read-files", // test/contract/files
  "read-leases", // claim-leases, enroll-worker
  "read-run-logs", // report-attempt
  "read-sessions", // expire-session, start-session
  "read-source", // end-build
  "read-workspaces", // create-workspace
  "create-public-access-token", // use-public-access-token
  "create-token", // complete-token, answer-program-call
  "open-wait", // answer-program-call
  "program-call-values", // answer-program-call
  "read-tokens", // complete-token
  "resolve-wait", // answer-program-call, complete-token, session-races
  "session-hooks", // put-schedule, append-stream-record
  "sync-schedules", // put-schedule
  "wait-outcome", // answer-program-call
]);

function listFiles(): string[] {
  const listed = execFileSync("git", ["ls-files", "-co", "--exclude-standard"], { cwd: repository, encoding: "utf8" });
  return listed.split("\n").filter((path) => path !== "" && existsSync(join(repository, path)));
}

const read = (path: string): Source => ({ path, text: readFileSync(join(repository, path), "utf8") });

function isSource(path: string): boolean {
  return (
    /^(packages|test|scripts|images|examples)\//.test(path) && /\.(ts|tsx|sql|c|h)$/.test(path) && !/\/(fixtures|golden|dist)\//.test(path)
  );
}

if (process.argv[1] && relative(repository, process.argv[1]) === "scripts/tidy.ts") {
  const paths = listFiles();
  const sources = paths.filter(isSource).map(read);
  const prose = paths.filter((path) => path.endsWith(".md") && !path.includes("/golden/")).map(read);
  const findings = [...tidy(sources), ...missing(sources.map((source) => source.path)), ...pages(prose, paths)];
  for (const { path, line, message } of findings) process.stdout.write(`${path}:${line} ${message}\n`);
  process.stdout.write(findings.length === 0 ? `${sources.length} files are tidy\n` : `${findings.length} findings\n`);
  process.exitCode = findings.length === 0 ? 0 : 1;
}
