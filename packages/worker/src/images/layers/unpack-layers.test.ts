import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { temporaryDirectory } from "../../testing/temporary.ts";
import { ImageError } from "../image-error.ts";
import { tar, type TarItem } from "./layer.fixture.ts";
import { unpackImage } from "./unpack.ts";
import { type LayerFile, unpackLayers } from "./unpack-layers.ts";

const root = temporaryDirectory("layers");
const MiB = 1024 * 1024;
const limits = { entriesMax: 10_000, bytesMax: 64 * MiB };
const never = new AbortController().signal;
let count = 0;

function layerFile(content: Buffer, compression: LayerFile["compression"] = "none"): LayerFile {
  count += 1;
  const path = join(root, `layer-${count}`);
  const packed = compression === "gzip" ? gzipSync(content) : compression === "zstd" ? zstdCompressSync(content) : content;
  writeFileSync(path, packed);
  return { path, compression, diffId: `sha256:${createHash("sha256").update(content).digest("hex")}` };
}

async function unpack(layers: Buffer[], change: Partial<typeof limits> = {}): Promise<string> {
  count += 1;
  const target = join(root, `disk-${count}.ext4`);
  const files = layers.map((layer) => layerFile(layer));
  await unpackLayers({ layers: files, target, diskBytes: 128 * MiB, limits: { ...limits, ...change } }, never);
  return target;
}

/** e2fsck is the judge of what we write. */
function expectSound(disk: string): void {
  execFileSync("e2fsck", ["-fn", disk], { stdio: "pipe" });
}

const debugfs = (disk: string, request: string) =>
  execFileSync("debugfs", ["-R", request, disk], { stdio: ["ignore", "pipe", "pipe"], maxBuffer: 64 * MiB }).toString();
const names = (disk: string, path: string) =>
  debugfs(disk, `ls -p ${path}`)
    .split("\n")
    .flatMap((line) => line.split("/")[5] ?? [])
    .filter((name) => name !== "" && name !== "." && name !== "..")
    .toSorted();

async function refusal(...layers: (TarItem[] | Buffer)[]): Promise<string> {
  const error = await unpack(layers.map((layer) => (Buffer.isBuffer(layer) ? layer : tar(...layer)))).then(
    () => undefined,
    (cause: unknown) => cause,
  );
  return error instanceof ImageError ? error.code : `no refusal: ${String(error)}`;
}

describe("layers on a disk", () => {
  test("a sound file system with contents, owners, times, links and attributes", async () => {
    const big = Buffer.alloc(3 * MiB + 17, "0123456789");
    const disk = await unpack([
      tar(
        { path: "./", mode: 0o755 },
        { path: "bin/", mode: 0o755 },
        { path: "bin/tool", data: "#!", mode: 0o4755, uid: 1000, gid: 70_000, mtime: 1_700_000_000 },
        { path: "bin/other", type: "1", link: "bin/tool" },
        { path: "bin/link", link: "tool" },
        { path: "long", link: "short", pax: { linkpath: "x".repeat(300) } },
        { path: "queue", type: "6", mode: 0o600 },
        { path: "big", data: big, pax: { "SCHILY.xattr.user.note": "small", mtime: "1700000000.5" } },
        { path: "capable", data: "x", pax: { "SCHILY.xattr.user.long": "y".repeat(900), "SCHILY.xattr.trusted.overlay.opaque": "y" } },
        { path: "deep/er/than/said", data: "implied parents" },
        ...Array.from({ length: 300 }, (_, index) => ({ path: `many/file-with-quite-a-long-name-${index}`, data: String(index) })),
      ),
    ]);
    expectSound(disk);
    expect(debugfs(disk, "cat /big")).toBe(big.toString());
    const tool = debugfs(disk, "stat /bin/other");
    expect(tool).toMatch(/Mode: {2}04755/);
    expect(tool).toMatch(/User: {2}1000 {3}Group: 70000/);
    expect(tool).toMatch(/Links: 2/);
    expect(debugfs(disk, "stat /bin/tool").split("\n")[0]).toBe(tool.split("\n")[0]);
    expect(debugfs(disk, "stat /big")).toMatch(/mtime: 0x6553f100:773594(00|02)/);
    expect(debugfs(disk, "ea_get /big user.note")).toMatch(/small/);
    expect(debugfs(disk, "ea_list /capable")).toMatch(/user.long \(900\)/);
    expect(debugfs(disk, "ea_list /capable")).not.toMatch(/overlay/);
    expect(names(disk, "/many")).toHaveLength(300);
    expect(debugfs(disk, "stat /long")).toMatch(/Size: 300/);
    expect(debugfs(disk, "cat /deep/er/than/said")).toBe("implied parents");
  });

  test("an upper layer replaces, takes away and makes opaque; what it brings itself stays", async () => {
    const disk = await unpack([
      tar(
        { path: "a/", mode: 0o700 },
        { path: "a/one", data: "1" },
        { path: "a/two", data: "2" },
        { path: "b/old", data: "b" },
        { path: "b/sub/old", data: "b" },
        { path: "file", data: "was a file" },
        { path: "dir/below", data: "gone with its directory" },
      ),
      tar(
        { path: "a/.wh.one" },
        { path: "a/two", data: "second" },
        { path: "b/sub/new", data: "n" },
        { path: "b/.wh..wh..opq" },
        { path: "b/late", data: "behind the mark" },
        { path: "file/", mode: 0o755 },
        { path: "file/now", data: "a directory" },
        { path: "dir", data: "now a file" },
        { path: ".wh.not-there" },
      ),
    ]);
    expectSound(disk);
    expect(names(disk, "/a")).toEqual(["two"]);
    expect(debugfs(disk, "cat /a/two")).toBe("second");
    expect(names(disk, "/b")).toEqual(["late", "sub"]);
    expect(names(disk, "/b/sub")).toEqual(["new"]);
    expect(names(disk, "/file")).toEqual(["now"]);
    expect(debugfs(disk, "cat /dir")).toBe("now a file");
    expect(names(disk, "/")).toEqual(["a", "b", "dir", "file"]);
  });

  test("a hard link reaches into a lower layer, and one name taken away leaves the other", async () => {
    const disk = await unpack([tar({ path: "a", data: "content" }), tar({ path: "b", type: "1", link: "a" }), tar({ path: ".wh.a" })]);
    expectSound(disk);
    expect(names(disk, "/")).toEqual(["b"]);
    expect(debugfs(disk, "cat /b")).toBe("content");
    expect(debugfs(disk, "stat /b")).toMatch(/Links: 1/);
  });

  test("links on the way are followed inside the image only", async () => {
    const disk = await unpack([
      tar(
        { path: "usr/lib/", mode: 0o755 },
        { path: "lib", link: "usr/lib" },
        { path: "out", link: "../../../../etc" },
        { path: "abs", link: "/etc" },
        { path: "lib/x", data: "x" },
        { path: "out/one", data: "1" },
        { path: "abs/two", data: "2" },
      ),
    ]);
    expectSound(disk);
    expect(names(disk, "/usr/lib")).toEqual(["x"]);
    expect(names(disk, "/etc")).toEqual(["one", "two"]);
  });

  test("equal layers give equal bytes, whatever their compression", async () => {
    const content = tar({ path: "a/b/c", data: "x".repeat(10_000) }, { path: "d", link: "a" });
    const disks = await Promise.all(
      (["none", "gzip", "zstd"] as const).map(async (compression) => {
        const target = join(root, `same-${compression}.ext4`);
        await unpackImage({ layers: [layerFile(content, compression)], target, diskBytes: 128 * MiB, limits }, never);
        return createHash("sha256").update(readFileSync(target)).digest("hex");
      }),
    );
    expect(new Set(disks).size).toBe(1);
  });

  test("what a later layer removes is not left on the disk", async () => {
    const secret = "this text shall be nowhere".repeat(400);
    const disk = await unpack([tar({ path: "secret", data: secret }), tar({ path: ".wh.secret" })]);
    expectSound(disk);
    expect(readFileSync(disk).includes("this text shall be nowhere")).toBe(false);
  });
});

describe("layers that are refused", () => {
  test.each<[string, string, TarItem[]]>([
    ["a path with ..", "layer_path_escapes", [{ path: "a/../../etc/passwd", data: "x" }]],
    ["a hard link with ..", "layer_path_escapes", [{ path: "a", type: "1", link: "../etc/shadow" }]],
    ["a whiteout with ..", "layer_path_escapes", [{ path: "../.wh.etc" }]],
    ["a hard link to nothing", "layer_malformed", [{ path: "a", type: "1", link: "b" }]],
    ["a hard link to a directory", "layer_malformed", [{ path: "d/" }, { path: "a", type: "1", link: "d" }]],
    ["a block device", "layer_device", [{ path: "dev/sda", type: "4" }]],
    ["a character device", "layer_device", [{ path: "dev/null", type: "3" }]],
    ["a sparse file", "layer_sparse", [{ path: "s", type: "S" }]],
    ["a sparse file in pax", "layer_sparse", [{ path: "s", data: "x", pax: { "GNU.sparse.major": "1" } }]],
    ["an unknown kind", "layer_malformed", [{ path: "s", type: "Z" }]],
    ["a name that is too long", "layer_malformed", [{ path: "x", pax: { path: "n".repeat(256) } }]],
    [
      "a loop of links",
      "layer_malformed",
      [
        { path: "a", link: "b" },
        { path: "b", link: "a" },
        { path: "a/x", data: "" },
      ],
    ],
    [
      "a name below a file",
      "layer_malformed",
      [
        { path: "a", data: "" },
        { path: "a/x", data: "" },
      ],
    ],
    ["an attribute of no name space", "layer_xattr", [{ path: "a", data: "", pax: { "SCHILY.xattr.nothing": "x" } }]],
    ["attributes beyond a block", "layer_xattr", [{ path: "a", data: "", pax: { "SCHILY.xattr.user.x": "x".repeat(5_000) } }]],
    ["an owner that is none", "layer_malformed", [{ path: "a", data: "", pax: { uid: "4294967295" } }]],
    ["a size beyond the limit", "image_too_large", [{ path: "a", data: "", size: 65 * MiB }]],
    ["a file that ends early", "layer_malformed", [{ path: "a", data: "", size: 10_000 }]],
  ])("%s: %s", async (_, code, items) => {
    expect(await refusal(items)).toBe(code);
  });

  test("too many entries, counted over all layers", async () => {
    const many = tar(...Array.from({ length: 40 }, (_, index) => ({ path: `f${index}`, data: "" })));
    await expect(unpack([many, many], { entriesMax: 60 })).rejects.toMatchObject({ code: "image_too_large" });
  });

  test("a bomb: the limit ends it, in bounded time", async () => {
    const layer = layerFile(Buffer.alloc(0));
    writeFileSync(layer.path, gzipSync(Buffer.concat([tar({ path: "a", data: "" }).subarray(0, 512), Buffer.alloc(200 * MiB, 1)])));
    const bomb = { ...layer, compression: "gzip" as const };
    const target = join(root, "bomb.ext4");
    await expect(
      unpackImage({ layers: [bomb], target, diskBytes: 128 * MiB, limits: { entriesMax: 100, bytesMax: MiB } }, never),
    ).rejects.toBeInstanceOf(ImageError);
  });

  test("other content than the configuration says; a stream that is no gzip", async () => {
    const good = layerFile(tar({ path: "a", data: "x" }));
    const wrong = { ...good, diffId: `sha256:${"0".repeat(64)}` };
    const broken = { ...good, compression: "gzip" as const };
    for (const [layer, code] of [
      [wrong, "digest_mismatch"],
      [broken, "layer_malformed"],
    ] as const) {
      rmSync(join(root, "wrong.ext4"), { force: true });
      await expect(
        unpackImage({ layers: [layer], target: join(root, "wrong.ext4"), diskBytes: 128 * MiB, limits }, never),
      ).rejects.toMatchObject({ code });
    }
  });
});

test("any bytes, and any damage to a real layer, end in a disk that is sound or in a refusal", { timeout: 60_000 }, async () => {
  mkdirSync(root, { recursive: true });
  const real = tar(
    { path: "bin/", mode: 0o755 },
    { path: "bin/a", data: "content", pax: { "SCHILY.xattr.user.a": "b", mtime: "12.5" } },
    { path: "bin/b", type: "1", link: "bin/a" },
    { path: "l", link: "bin" },
    { path: "bin/.wh.a" },
  );
  const damaged = fc.array(fc.tuple(fc.nat(real.length - 1), fc.nat(255)), { minLength: 1, maxLength: 8 }).map((changes) => {
    const bytes = Buffer.from(real);
    for (const [at, value] of changes) bytes[at] = value;
    // Damage that the checksum would hide is the interesting one.
    for (let at = 0; at + 512 <= bytes.length; at += 512)
      if (bytes.toString("latin1", at + 257, at + 262) === "ustar") fixChecksum(bytes.subarray(at, at + 512));
    return bytes;
  });
  const anything = fc.oneof(
    damaged,
    fc.uint8Array({ maxLength: 3_000 }).map((bytes) => Buffer.from(bytes)),
  );
  const checked = fc.asyncProperty(fc.array(anything, { minLength: 1, maxLength: 3 }), async (layers) => {
    const outcome = await unpack(layers).catch((error: unknown) => error);
    if (typeof outcome === "string") {
      expectSound(outcome);
      rmSync(outcome);
    } else expect(outcome).toBeInstanceOf(ImageError);
  });
  await fc.assert(checked, { numRuns: 150 });
});

function fixChecksum(block: Buffer): void {
  block.write("        ", 148, "latin1");
  let sum = 0;
  for (const byte of block) sum += byte;
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
}
