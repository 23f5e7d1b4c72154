/** `npm run check`: everything a machine can say about the sources without running them. */
import { repository, runStep } from "./run-step.ts";

const steps: { name: string; command: string[] }[] = [
  { name: "types", command: ["tsc", "-p", "tsconfig.json"] },
  { name: "lint", command: ["oxlint", "--type-aware", "--deny-warnings"] },
  { name: "format", command: ["oxfmt", "--check", "."] },
  { name: "dead code", command: ["knip", "--no-progress"] },
  { name: "house rules", command: ["node", "scripts/tidy.ts"] },
  { name: "generated files", command: ["node", "scripts/generate.ts", "--check"] },
];

export async function check(): Promise<{ passed: number; failed: number }> {
  let failed = 0;
  for (const step of steps) {
    const result = await runStep(step.command);
    process.stdout.write(`${result.ok ? "ok  " : "FAIL"} ${step.name} (${result.seconds.toFixed(1)} s)\n`);
    if (!result.ok) {
      failed += 1;
      process.stdout.write(`${result.output.trimEnd()}\n`);
    }
  }
  return { passed: steps.length - failed, failed };
}

if (process.argv[1]?.startsWith(repository) && process.argv[1].endsWith("check.ts")) {
  const { failed } = await check();
  process.exitCode = failed === 0 ? 0 : 1;
}
