/** `npm run generate`: every checked-in file that is made from others. With `--check` nothing is written and a difference fails. */
import { runStep } from "./run-step.ts";

const generators = [
  ["node", "scripts/generate-openapi.ts"],
  ["node", "scripts/generate-schema.ts"],
  ["node", "scripts/generate-guest-protocol.ts"],
  ["node", "packages/sdk/src/node/api-listing.ts"],
  ["node", "scripts/generate-reference.ts"],
  ["node", "scripts/generate-figures.ts"],
];

const extra = process.argv.includes("--check") ? ["--check"] : [];
for (const command of generators) {
  const result = await runStep([...command, ...extra], { stream: true });
  if (!result.ok) process.exitCode = 1;
}
