/**
 * `helmr deploy` of a project with an image on the built-in base (no registry needed): first, unchanged, a changed task file, a changed step of the image,
 * changed dependencies (installed twice: for the build, and in the image). Argument: how often all but the first (5).
 */
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { benchInstall } from "./local-bench.ts";
import { type Benchmark, quantile, type Series } from "./measure.ts";

export const benchmark: Benchmark = {
  measures: "helmr deploy until promoted: first, unchanged, code only, a changed step of its image, changed dependencies",
  async run(args) {
    const count = Number(args[0] ?? 5);
    const bench = await benchInstall();
    const directory = await mkdtemp(join(tmpdir(), "helmr-bench-deploy-"));
    const times: Record<string, number[]> = { first: [], unchanged: [], code: [], step: [], dependencies: [] };
    const deploy = async (name: string) => {
      const begun = performance.now();
      const { code, stderr } = await bench.install.helmr(["deploy", directory]);
      if (code !== 0) throw new TypeError(`deploy failed: ${stderr}`);
      times[name]?.push(performance.now() - begun);
    };
    const write = (text: string, command: string) =>
      writeFile(
        join(directory, "tasks", "with-image.ts"),
        `import { image, sandbox, task } from "@helmr/sdk";
const tools = image("tools").from("helmr/node:24").run(["sh", "-c", "${command}"]);
export const withImage = task({ id: "with-image", sandbox: sandbox("tools").image(tools), run: () => "${text}" });\n`,
      );
    const depend = async (version: string) => {
      const manifest = JSON.parse(await readFile(join(directory, "package.json"), "utf8")) as { dependencies: object };
      const dependencies = { ...manifest.dependencies, "is-odd": "3.0.1" };
      const packages = {
        "": { version, dependencies },
        "node_modules/is-number": { version: "6.0.0" },
        "node_modules/is-odd": { version: "3.0.1", dependencies: { "is-number": "^6.0.0" } },
      };
      await writeFile(join(directory, "package.json"), JSON.stringify({ ...manifest, version, dependencies }));
      await writeFile(join(directory, "package-lock.json"), JSON.stringify({ version, lockfileVersion: 3, requires: true, packages }));
    };
    try {
      await cp(join(import.meta.dirname, "project"), directory, { recursive: true });
      await write("0", "echo 0 > /made");
      await deploy("first");
      for (let index = 1; index <= count; index += 1) {
        await deploy("unchanged");
        await write(String(index), `echo ${index - 1} > /made`);
        await deploy("code");
        await write(String(index), `echo ${index} > /made`);
        await deploy("step");
      }
      // The command line looks for what a project depends on; it is the guests that install here.
      await mkdir(join(directory, "node_modules", "is-odd"), { recursive: true });
      await writeFile(join(directory, "node_modules", "is-odd", "package.json"), "{}");
      for (let index = 1; index <= count; index += 1) {
        await depend(`0.0.${index}`);
        await deploy("dependencies");
      }
    } finally {
      await bench.close();
      await rm(directory, { recursive: true, force: true });
    }
    const of = (name: string, targetMs?: number): Series => {
      const samples = times[name] ?? [];
      const series = { name: `deploy-${name}`, unit: "ms", samples };
      return targetMs === undefined ? series : { ...series, target: `p50 ≤ ${targetMs / 1000} s`, met: quantile(samples, 0.5) <= targetMs };
    };
    return [of("first"), of("unchanged", 2_000), of("code", 8_000), of("step"), of("dependencies")];
  },
};
