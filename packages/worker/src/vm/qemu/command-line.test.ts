import { describe, expect, test } from "vitest";
import { diskSlots } from "../driver.ts";
import { diskNode, kernelCommandLine, monitorArguments, type MonitorSetup, slotNode } from "./command-line.ts";

const clone: MonitorSetup = {
  accelerator: "tcg",
  shape: { vcpus: 2, memoryMib: 512 },
  memory: { descriptor: 3, share: false },
  kernel: { descriptor: 5 },
  substrate: 6,
  image: 7,
  clone: true,
};
const template: MonitorSetup = {
  ...clone,
  memory: { descriptor: 3, share: true },
  kernel: { descriptor: 5, initramfs: 8, commandLine: "quiet" },
  clone: false,
};

function devices(args: readonly string[]): string[] {
  return args.filter((_, index) => args[index - 1] === "-device");
}

function nodes(args: readonly string[]): Record<string, unknown>[] {
  return args.filter((_, index) => args[index - 1] === "-blockdev").map((text) => JSON.parse(text) as Record<string, unknown>);
}

describe("monitorArguments()", () => {
  test("template and clone have the same devices and the same disks", () => {
    expect(devices(monitorArguments(clone))).toEqual(devices(monitorArguments(template)));
    expect(nodes(monitorArguments(clone))).toEqual(nodes(monitorArguments(template)));
  });

  test("every device has a bus of its own, channels above the disks, disks in the order of the slots, none on bus 0", () => {
    const placed = devices(monitorArguments(clone)).flatMap((device) => {
      const [, name, bus] = /(?:id=(\w+)(?:-device)?,).*bus=virtio-mmio-bus\.(\d+)/.exec(device) ?? [];
      return name === undefined ? [] : [{ name, bus: Number(bus) }];
    });
    const descending = placed.toSorted((one, other) => other.bus - one.bus).map(({ name }) => name);
    expect(descending).toEqual(["ports", ...diskSlots]);
    expect(new Set(placed.map(({ bus }) => bus)).size).toBe(placed.length);
    expect(Math.min(...placed.map(({ bus }) => bus))).toBeGreaterThan(0);
  });

  test("only a clone waits for a snapshot and takes descriptors; only a template boots", () => {
    expect(monitorArguments(clone)).toEqual(expect.arrayContaining(["-incoming", "defer", "chardev=files,mode=control"]));
    expect(monitorArguments(template)).not.toContain("-incoming");
    expect(monitorArguments(template)).toEqual(expect.arrayContaining(["-initrd", "/proc/self/fd/8", "-append", "quiet"]));
    expect(monitorArguments(clone)).not.toContain("-initrd");
  });

  test("no path of the host is in it, the sandbox is on, the guest's end can be asked about", () => {
    for (const setup of [clone, template]) {
      const args = monitorArguments(setup);
      expect(args.filter((text) => text.includes("/") && !text.includes("/proc/self/fd/") && !text.includes("/dev/fdset/"))).toEqual([]);
      expect(args).toEqual(expect.arrayContaining(["-sandbox", "reboot=shutdown,shutdown=pause", "-nodefaults", "-no-user-config"]));
    }
  });

  test("hardware virtualization uses the host's processor", () => {
    expect(monitorArguments({ ...clone, accelerator: "kvm" })).toEqual(expect.arrayContaining(["kvm,kernel-irqchip=split", "host"]));
  });
});

test("only the task's slot is read-only", () => {
  expect(diskSlots.filter((slot) => slotNode(slot, "file")["read-only"] === true)).toEqual(["task"]);
});

test("an overlay names the file under it explicitly, so that its own header decides nothing", () => {
  expect(diskNode("n", { set: 1, readOnly: false })).toMatchObject({ driver: "file", filename: "/dev/fdset/1", "node-name": "n" });
  expect(diskNode("n", { set: 1, backingSet: 2, readOnly: false })).toMatchObject({
    driver: "qcow2",
    "node-name": "n",
    file: { filename: "/dev/fdset/1", "read-only": false },
    backing: { driver: "raw", "read-only": true, file: { filename: "/dev/fdset/2", "read-only": true } },
  });
});

test("an emulated guest is told the counter's rate, a virtual one is not", () => {
  expect(kernelCommandLine("tcg", 2_500_000)).toMatch(/tsc_early_khz=2500000 lpj=10000000 /);
  expect(kernelCommandLine("kvm", 2_500_000)).not.toContain("tsc");
});
