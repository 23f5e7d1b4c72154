import { execFile } from "node:child_process";
import { chmod, mkdir, mkdtemp, readFile, realpath, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { guestIngredients } from "@helmr/test/services/guest";
import { beforeAll, describe, expect, test } from "vitest";
import { driverContract } from "../driver-conformance.fixture.ts";
import type { VmError } from "../driver.ts";
import { QemuDriver, type QemuDriverOptions } from "./driver.ts";
import { probeFirmware, probeKernel } from "./probes.ts";

const run = promisify(execFile);
const mib = 1024 * 1024;

let options: QemuDriverOptions;

async function prepare() {
  const ingredients = await guestIngredients("fixture");
  const { kernel, initramfs, substrate, baseImage, monitorTools } = ingredients;
  // A place as unfriendly as a user's can be: closed to others, with a space and a comma, and too long for the name of a socket.
  const closed = await mkdtemp(join(await realpath(tmpdir()), "helmr vm, test "));
  await chmod(closed, 0o700);
  const directory = join(closed, "a".repeat(60), "b".repeat(60));
  await mkdir(directory, { recursive: true });
  options = { stateDirectory: join(directory, "driver"), probe: { kernel, initramfs }, tools: monitorTools, cgroupName: "helmr-test" };
  const starter = join(import.meta.dirname, "../start-machine.fixture.ts");
  const spec = { kernel, initramfs, substrate, image: baseImage.path, shape: { vcpus: 1, memoryMib: 512 } };
  return { openDriver: () => new QemuDriver(options), spec, directory, starterArguments: [starter, JSON.stringify(options)] };
}

const world = driverContract("QEMU", prepare);

describe("QEMU on this host", () => {
  test("facts() says which accelerator and why", async () => {
    const facts = await world().driver.facts();
    expect(facts).toMatchObject({ driver: "qemu", version: expect.stringMatching(/^\d+\.\d+/) });
    expect(["kvm", "tcg"]).toContain(facts.accelerator);
    expect(facts.explanation.length).toBeGreaterThan(20);
  });

  test.runIf(process.getuid?.() === 0)("a monitor has a user of its own, no capabilities and no network", async () => {
    const { machine } = await world().start();
    const other = await world().start();
    const status = await readFile(`/proc/${machine.handle.pid}/status`, "utf8");
    const uid = /^Uid:\t(\d+)\t(\d+)/m.exec(status)?.slice(1);
    expect(uid?.[0]).toBe(uid?.[1]);
    expect(Number(uid?.[0])).toBeGreaterThan(0);
    expect(status).toMatch(/^CapEff:\t0+$/m);
    expect(status).toMatch(/^CapBnd:\t0+$/m);
    expect(status).toMatch(/^NoNewPrivs:\t1$/m);
    expect(status).toMatch(/^Seccomp:\t2$/m);
    const otherStatus = await readFile(`/proc/${other.machine.handle.pid}/status`, "utf8");
    expect(/^Uid:\t(\d+)/m.exec(otherStatus)?.[1]).not.toBe(uid?.[0]);
    const routes = await readFile(`/proc/${machine.handle.pid}/net/dev`, "utf8");
    expect(
      routes
        .split("\n")
        .filter((line) => line.includes(":"))
        .map((line) => line.split(":")[0]?.trim()),
    ).toEqual(["lo"]);
  });

  test("a monitor cannot write to the template's memory", async () => {
    const { machine } = await world().start();
    const { stdout } = await run("bash", [
      "-c",
      `for f in /proc/${machine.handle.pid}/fdinfo/*; do n=$(basename $f); t=$(readlink /proc/${machine.handle.pid}/fd/$n); case "$t" in */template/memory) grep flags $f;; esac; done`,
    ]);
    const flags = stdout
      .trim()
      .split("\n")
      .map((line) => Number.parseInt(line.split("\t")[1] ?? "", 8) & 3);
    expect(flags.length).toBeGreaterThan(0);
    expect(flags.every((access) => access === 0)).toBe(true);
    const { mode, uid } = await stat(join(world().template.directory, "memory"));
    expect([mode & 0o222, uid]).toEqual([0, process.getuid?.()]);
  });

  test("an overlay over a shared file takes the writes", async () => {
    const spec = await world().newSpec();
    const base = await world().emptyDisk(spec.directory, "base", 64);
    const before = await run("sha256sum", [base.path]);
    const overlay = join(spec.directory, "overlay.qcow2");
    await run("qemu-img", ["create", "-q", "-f", "qcow2", "-F", "raw", "-b", base.path, overlay, String(96 * mib)]).catch(async () => {
      // qemu-img is in another package; the driver does not need it.
      await writeFile(overlay, overlayHeader(base.path, 96 * mib));
    });
    const { machine, guest } = await world().start({
      ...spec,
      disks: { workspace: { path: overlay, format: "overlay", readOnly: false, sizeBytes: 96 * mib } },
    });
    await guest.attach("--scratch", "tmpfs", "--workspace", "/dev/vdd:/workspace");
    const shown = await guest.shell("cat /sys/block/vdd/size; echo written > /workspace/file; sync; cat /workspace/file");
    expect(shown.stdout).toBe(`${96 * 2048}\nwritten\n`);
    await machine.stop();
    expect((await run("sha256sum", [base.path])).stdout).toBe(before.stdout);
    expect((await stat(overlay)).size).toBeGreaterThan(65_536 * 4);
  });

  test("a template whose memory was written to is not used", async () => {
    const { template } = world();
    const directory = `${template.directory}-changed`;
    await run("cp", ["-a", "--sparse=always", template.directory, directory]);
    const failure = await world()
      .driver.start(await world().newSpec({ template: { ...template, directory } }), new AbortController().signal)
      .catch((error: unknown) => error);
    expect((failure as VmError).code).toBe("restore_failed");
    expect((failure as VmError).message).toContain("must be made again");
  });

  test("eight restores at once", async () => {
    const started = await Promise.all(Array.from({ length: 8 }, () => world().start()));
    const answers = await Promise.all(started.map(({ guest }) => guest.ping()));
    expect(answers.map(({ counter }) => counter)).toEqual(Array(8).fill(1));
    await Promise.all(started.map(({ machine }) => machine.stop()));
  });
});

describe("KVM probes", () => {
  let kernel: string, initramfs: string;
  beforeAll(async () => {
    ({ kernel, initramfs } = await guestIngredients("fixture"));
  });

  test("the firmware gets through where the processor is complete", async () => {
    expect(await probeFirmware("qemu-system-x86_64", "tcg")).toMatchObject({ kind: "works" });
  });

  test("the guest's own kernel and init get through", async () => {
    expect(await probeKernel({ binary: "qemu-system-x86_64", kernel, initramfs }, "tcg", 20_000)).toMatchObject({ kind: "works" });
  });

  test("a probe that does not end is ended", async () => {
    expect(await probeKernel({ binary: "qemu-system-x86_64", kernel, initramfs }, "tcg", 100)).toEqual({
      kind: "fails",
      how: "did not end within 100 ms",
    });
  });

  test("a monitor that is not there", async () => {
    expect(await probeFirmware("/nonexistent/monitor", "tcg")).toMatchObject({ kind: "fails", how: expect.stringContaining("ENOENT") });
  });
});

/** The smallest qcow2 (version 3) with a backing file: header, refcounts for four clusters, an empty L1 table. */
function overlayHeader(backing: string, size: number): Buffer {
  const cluster = 65_536;
  const image = Buffer.alloc(cluster * 4);
  image.writeUInt32BE(0x514649fb, 0);
  image.writeUInt32BE(3, 4);
  image.writeBigUInt64BE(112n, 8);
  image.writeUInt32BE(Buffer.byteLength(backing), 16);
  image.writeUInt32BE(16, 20);
  image.writeBigUInt64BE(BigInt(size), 24);
  image.writeUInt32BE(1, 36);
  image.writeBigUInt64BE(BigInt(cluster * 3), 40);
  image.writeBigUInt64BE(BigInt(cluster), 48);
  image.writeUInt32BE(1, 56);
  image.writeUInt32BE(4, 96);
  image.writeUInt32BE(104, 100);
  image.write(backing, 112);
  image.writeBigUInt64BE(BigInt(cluster * 2), cluster);
  for (let index = 0; index < 4; index += 1) image.writeUInt16BE(1, cluster * 2 + index * 2);
  return image;
}
