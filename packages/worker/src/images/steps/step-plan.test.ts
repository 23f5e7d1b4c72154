import type { ImageDeclaration, ImageStep } from "@helmr/protocol/guest";
import { describe, expect, test } from "vitest";
import { ImageError } from "../image-error.ts";
import { baseKey, explainMiss, type KeyedStep, stepKey } from "./step-keys.ts";
import { baseOf, planImage } from "./step-plan.ts";

const image = (...steps: ImageStep[]): ImageDeclaration => ({ id: "tools", steps });
const from: ImageStep = { kind: "from", ref: "debian:12" };
const run = (change: Partial<Extract<ImageStep, { kind: "run" }>> = {}): ImageStep => ({
  kind: "run",
  argv: ["true"],
  caches: [],
  secrets: [],
  ...change,
});
const base = { shown: "debian", config: { env: { PATH: "/bin", A: "base" }, workdir: "/base", user: "daemon" } };
const plan = (...steps: ImageStep[]) => planImage(image(...steps), base);

describe("configuration", () => {
  test("of the base is inherited, the builder's own counts more, also when it stands before from", () => {
    const { config } = plan({ kind: "env", key: "A", value: "own" }, { kind: "user", name: "dev" }, from, {
      kind: "env",
      key: "B",
      value: "b",
    });
    expect(config).toEqual({ env: { PATH: "/bin", A: "own", B: "b" }, workdir: "/base", user: "dev" });
  });

  test("each step sees what was said before it; directories join", () => {
    const planned = plan(
      from,
      { kind: "workdir", path: "a" },
      run(),
      { kind: "workdir", path: "../b" },
      { kind: "env", key: "A", value: "" },
      run(),
    );
    expect(planned.steps.map(({ number, config }) => [number, config.workdir, config.env["A"]])).toEqual([
      [3, "/base/a", "base"],
      [6, "/base/b", ""],
    ]);
    expect(planned.config.workdir).toBe("/base/b");
  });

  test("without anything: /workspace and root; a second from begins again", () => {
    const bare = { shown: "scratch", config: { env: {}, workdir: "", user: "" } };
    const twice = image(from, run(), { kind: "env", key: "GONE", value: "x" }, { kind: "from", ref: "alpine" });
    expect(planImage(twice, bare)).toMatchObject({
      steps: [],
      config: { env: {}, workdir: "/workspace", user: "root" },
      from: { number: 4 },
    });
    expect(baseOf(twice).ref).toBe("alpine");
  });

  test("destinations are absolute and keep their slash", () => {
    const source = { kind: "file" as const, path: "a" };
    const planned = plan(
      from,
      { kind: "copy", destination: "x/", source },
      { kind: "copy", destination: "/", source },
      { kind: "copy", destination: "../y", source },
    );
    expect(planned.steps.map(({ step }) => (step.kind === "copy" ? step.destination : ""))).toEqual(["/base/x/", "/", "/y"]);
  });

  test.each<[string, ImageStep[]]>([
    ["no from", [{ kind: "env", key: "a", value: "b" }]],
    ["work before from", [run(), from]],
    ["a cache with a secret", [from, run({ caches: [{ mountPath: "/c", id: "c" }], secrets: [{ mountPath: "/s", secret: "S" }] })]],
    [
      "more caches than disks",
      [from, run({ caches: Array.from({ length: 5 }, (_, index) => ({ mountPath: `/${index}`, id: `c${index}` })) })],
    ],
  ])("%s is refused", (_, steps) => expect(() => plan(...steps)).toThrow(ImageError));
});

describe("keys", () => {
  const parent = baseKey({ digest: "sha256:1", architecture: "amd64", diskBytes: 1 });
  const keyOf = (
    step: ImageStep,
    change: { parent?: KeyedStep; environmentId?: string; sourceDigest?: string } = {},
    before: ImageStep[] = [],
  ) => {
    const planned = plan(from, ...before, step).steps.at(-1);
    if (planned === undefined) throw new TypeError("no step");
    return stepKey(planned, { parent, environmentId: "e1", ...change });
  };
  const secret = run({ secrets: [{ mountPath: "/s", secret: "TOKEN" }] });

  test("the same for the same, another one for anything that matters", () => {
    const copy: ImageStep = { kind: "copy", destination: "/x", source: { kind: "file", path: "a" } };
    const keys = [
      keyOf(run()),
      keyOf(run({ argv: ["false"] })),
      keyOf(run({ caches: [{ mountPath: "/c", id: "c" }] })),
      keyOf(run(), {}, [{ kind: "env", key: "A", value: "x" }]),
      keyOf(run(), {}, [{ kind: "user", name: "x" }]),
      keyOf(run(), {}, [{ kind: "workdir", path: "x" }]),
      keyOf(run(), { parent: keyOf(run()) }),
      keyOf(secret),
      keyOf(secret, { environmentId: "e2" }),
      keyOf(copy, { sourceDigest: "a" }),
      keyOf(copy, { sourceDigest: "b" }),
    ].map(({ key }) => key);
    expect(new Set(keys).size).toBe(keys.length);
    expect(keyOf(run(), { environmentId: "e2" }).key).toBe(keys[0]);
    // A copy does not depend on what only commands see.
    expect(keyOf(copy, { sourceDigest: "a" }, [{ kind: "env", key: "A", value: "x" }]).key).toBe(keys[9]);
  });

  test("a miss is explained by the first thing that changed", () => {
    const before = keyOf(run()).inputs;
    expect(explainMiss(before, undefined)).toBe("it was not built before");
    expect(explainMiss(keyOf(run({ argv: ["false"] })).inputs, before)).toBe("the command changed");
    expect(explainMiss(keyOf(run(), { parent: keyOf(run()) }).inputs, before)).toBe("the step before it changed");
    expect(explainMiss(keyOf(secret, { environmentId: "e2" }).inputs, keyOf(secret).inputs)).toMatch(/another environment/);
    expect(explainMiss(before, before)).toMatch(/is gone/);
  });
});
