/**
 * `npm test`: the check, then every kind of test in turn, each with its own vitest run so that guests and databases do not compete for two
 * cores. Arguments pick kinds: `npm test -- unit database`. The last line is `N passed, N failed`.
 */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { check } from "./check.ts";
import { repository, runStep } from "./run-step.ts";

const kinds = ["unit", "database", "contract", "vm", "e2e"] as const;
/** Only when they are asked for: what CI's time does not hold, and seeds for as long as somebody wants to look (HELMR_CHAOS_SEEDS). */
const onlyAsked = ["long", "chaos"] as const;
const kindTimeoutMs = 15 * 60_000;
const askedTimeoutMs = 12 * 3_600_000;

interface Report {
  numPassedTests: number;
  numFailedTests: number;
  numFailedTestSuites: number;
}

const wanted = process.argv.slice(2);
let passed = 0;
let failed = 0;

if (wanted.length === 0 || wanted.includes("check")) {
  const result = await check();
  passed += result.passed;
  failed += result.failed;
}
for (const kind of [...kinds, ...onlyAsked]) {
  const isOnlyAsked = onlyAsked.some((one) => one === kind);
  if (isOnlyAsked ? !wanted.includes(kind) : wanted.length > 0 && !wanted.includes(kind)) continue;
  const result = await runKind(kind, isOnlyAsked ? askedTimeoutMs : kindTimeoutMs);
  passed += result.passed;
  failed += result.failed;
}
process.stdout.write(`\n${passed} passed, ${failed} failed\n`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;

async function runKind(kind: string, timeoutMs: number): Promise<{ passed: number; failed: number }> {
  const directory = await mkdtemp(join(tmpdir(), "helmr-test-report-"));
  const file = join(directory, "report.json");
  const result = await runStep(
    [
      "vitest",
      "run",
      "--root",
      repository,
      "--project",
      kind,
      "--reporter=default",
      "--reporter=json",
      `--outputFile.json=${file}`,
      "--passWithNoTests",
    ],
    { stream: true, timeoutMs, environment: { CI: "1" } },
  );
  const report = await readFile(file, "utf8").then(
    (text) => JSON.parse(text) as Report,
    () => undefined,
  );
  await rm(directory, { recursive: true, force: true });
  const counted = { passed: report?.numPassedTests ?? 0, failed: report?.numFailedTests ?? 0 };
  // A run that ended badly without a failed test (a suite that did not load, a leak, the time limit) still counts as a failure.
  if (!result.ok && counted.failed === 0) counted.failed = 1;
  process.stdout.write(`${kind}: ${counted.passed} passed, ${counted.failed} failed (${result.seconds.toFixed(0)} s)\n`);
  return counted;
}
