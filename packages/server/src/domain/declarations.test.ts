import type { ProjectIndex } from "@helmr/protocol/guest";
import { describe, expect, test } from "vitest";
import { checkProject, parseMib, sandboxFingerprint } from "./declarations.ts";

const task = (over: Partial<ProjectIndex["tasks"][number]> = {}): ProjectIndex["tasks"][number] => ({
  id: "hello",
  file: "tasks/hello.ts",
  module: "tasks/hello.mjs",
  exportName: "hello",
  sandbox: "box",
  secrets: [],
  ...over,
});
const sandbox = (over: Partial<ProjectIndex["sandboxes"][number]> = {}): ProjectIndex["sandboxes"][number] => ({
  id: "box",
  workspacePath: "/workspace",
  resources: {},
  network: { internet: true },
  ...over,
});
const project = (over: Partial<ProjectIndex> = {}): ProjectIndex => ({
  tasks: [task()],
  sandboxes: [sandbox()],
  images: {},
  queues: [],
  streams: [],
  ...over,
});
const checked = (over: Partial<ProjectIndex> = {}) => {
  const result = checkProject(project(over));
  if (!result.ok) throw new Error(result.message);
  return result.value;
};
const refusalOf = (over: Partial<ProjectIndex>) => {
  const result = checkProject(project(over));
  return result.ok ? "" : result.message;
};

describe("checkProject()", () => {
  test("fills in defaults", () => {
    expect(checked()).toMatchObject({
      tasks: [
        { taskId: "hello", queue: "task/hello", concurrencyLimit: null, maxDurationSeconds: 900, retry: { enabled: false }, ttl: null },
      ],
      sandboxes: [{ sandboxId: "box", resources: { milliCpu: 2000, memoryMib: 2048, diskMib: null }, network: { internet: true } }],
      queues: [{ name: "task/hello", limit: null }],
    });
  });

  test.each([
    [
      "a duplicate task id",
      { tasks: [task(), task({ file: "tasks/other.ts" })] },
      /duplicate task id "hello": declared in tasks\/hello\.ts and tasks\/other\.ts/,
    ],
    ["an undefined queue", { tasks: [task({ queue: "q" })] }, /references undefined queue "q"/],
    ["an undefined sandbox", { tasks: [task({ sandbox: "none" })] }, /undefined sandbox "none"/],
    [
      "a cron that is none",
      { tasks: [task({ schedule: { cron: "99 * * * *", timezone: "UTC" } })] },
      /task "hello": cron "99 \* \* \* \*" is not valid/,
    ],
    [
      "a zone that is none",
      { tasks: [task({ schedule: { cron: "0 * * * *", timezone: "Mars" } })] },
      /timezone "Mars" must be an IANA time zone/,
    ],
    [
      "two limits of one queue",
      {
        queues: [
          { id: "q", concurrencyLimit: 1 },
          { id: "q", concurrencyLimit: null },
        ],
      },
      /two limits: 1 and none/,
    ],
    ["two sandboxes with one id", { sandboxes: [sandbox(), sandbox({ resources: { cpu: 4 } })] }, /conflicting definitions/],
    [
      "a schema conflict",
      {
        streams: [
          { direction: "input", name: "s", fingerprint: "a" },
          { direction: "input", name: "s", fingerprint: "b" },
        ],
      },
      /conflicting deployment catalog schema/,
    ],
    ["a ttl that is none", { tasks: [task({ ttl: "soon" })] }, /ttl "soon"/],
    ["an unknown retry key", { tasks: [task({ retry: { maxAttempts: 2, delay: 1 } })] }, /unknown key "delay"/],
    ["too many attempts", { tasks: [task({ retry: { maxAttempts: 11 } })] }, /maxAttempts/],
    [
      "a secret with two placements",
      { tasks: [task({ secrets: [{ name: "s", env: "A", file: "b" }] })] },
      /exactly one of env, file and dir/,
    ],
    [
      "a secret twice",
      {
        tasks: [
          task({
            secrets: [
              { name: "s", env: "A" },
              { name: "s", env: "B" },
            ],
          }),
        ],
      },
      /twice/,
    ],
    ["a secret in LD_PRELOAD", { tasks: [task({ secrets: [{ name: "s", env: "LD_PRELOAD" }] })] }, /LD_PRELOAD/],
    [
      "a cache and a secret on one step",
      {
        images: {
          i: {
            id: "i",
            steps: [{ kind: "run", argv: ["x"], caches: [{ mountPath: "/c", id: "c" }], secrets: [{ mountPath: "/s", secret: "s" }] }],
          },
        },
      },
      /cache mount together with a secret mount/,
    ],
    ["an undefined image", { sandboxes: [sandbox({ image: "i" })] }, /undefined image "i"/],
    ["a part of a MiB", { sandboxes: [sandbox({ resources: { memory: "1500Ki" } })] }, /memory "1500Ki" must be whole MiB/],
    ["half a core", { sandboxes: [sandbox({ resources: { cpu: 0.5 } })] }, /cpu 0\.5 must be an integer/],
    ["a workspace at /", { sandboxes: [sandbox({ workspacePath: "//." })] }, /must not be \//],
    ["a workspace in /proc", { sandboxes: [sandbox({ workspacePath: "/proc/x" })] }, /\/proc/],
    ["a relative workspace", { sandboxes: [sandbox({ workspacePath: "work" })] }, /absolute/],
    [
      "a bad allow entry",
      { sandboxes: [sandbox({ network: { internet: true, allow: ["exa mple.com"] } })] },
      /allow entry "exa mple\.com"/,
    ],
    [
      "an address as a deny entry",
      { sandboxes: [sandbox({ network: { internet: true, deny: ["10.0.0.1"] } })] },
      /deny entry "10\.0\.0\.1" is not a CIDR/,
    ],
    ["a range too long", { sandboxes: [sandbox({ network: { internet: true, deny: ["10.0.0.0/33"] } })] }, /10\.0\.0\.0\/33/],
    ["a blank entry", { sandboxes: [sandbox({ network: { internet: true, allow: [" "] } })] }, /allow entry ""/],
  ] satisfies [string, Partial<ProjectIndex>, RegExp][])("refuses %s", (_what, over, message) => {
    expect(refusalOf(over)).toMatch(message);
  });

  test("trims network entries and drops empty lists", () => {
    const { sandboxes } = checked({
      sandboxes: [sandbox({ network: { internet: true, allow: [" *.example.com ", "10.0.0.0/8", "2001:db8::1"], deny: [] } })],
    });
    expect(sandboxes[0]?.network).toEqual({ internet: true, allow: ["*.example.com", "10.0.0.0/8", "2001:db8::1"] });
  });
});

describe("sandboxFingerprint()", () => {
  test("leaves resources and image out", () => {
    const plain = checked().sandboxes[0]?.fingerprint;
    expect(plain).toMatch(/^[0-9a-f]{64}$/);
    expect(checked({ sandboxes: [sandbox({ resources: { cpu: 8, memory: "16Gi" } })] }).sandboxes[0]?.fingerprint).toBe(plain);
    expect(checked({ sandboxes: [sandbox({ workspacePath: "/work" })] }).sandboxes[0]?.fingerprint).not.toBe(plain);
    expect(sandboxFingerprint("box", { internet: true }, "/workspace")).toBe(plain);
  });
});

describe("parseMib()", () => {
  test.each([
    [512, 512],
    ["512", 512],
    ["512Mi", 512],
    ["512mib", 512],
    ["4Gi", 4096],
    ["4 GiB", 4096],
    ["2048Ki", 2],
    ["1025Ki", undefined],
    ["0", undefined],
    [-1, undefined],
    [1.5, undefined],
    ["1G", undefined],
    [true, undefined],
    ["99999999999999Gi", undefined],
  ])("%j is %j", (value, mib) => {
    expect(parseMib(value)).toBe(mib);
  });
});
