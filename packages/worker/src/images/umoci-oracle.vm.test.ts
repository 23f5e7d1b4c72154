/** What we make of images is what skopeo and umoci make of them: every name, owner, mode, time, link, attribute and byte. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { temporaryDirectory } from "../testing/temporary.ts";
import { tar, type TarItem } from "./layers/layer.fixture.ts";
import { type LocalRegistry, localRegistry, writeLayout } from "./local-registry.fixture.ts";
import { pullLayers } from "./pull-image.ts";
import { LayerStore } from "./registry/layer-store.ts";
import { RegistryClient } from "./registry/registry-client.ts";

const root = temporaryDirectory("oracle");
const MiB = 1024 * 1024;
const signal = AbortSignal.timeout(120_000);
let registry: LocalRegistry;

beforeAll(async () => {
  registry = await localRegistry(join(root, "registry"));
});
afterAll(() => registry?.close());

const dir = (path: string, more: Partial<TarItem> = {}): TarItem => ({ path, mode: 0o755, ...more });
const capability = Buffer.from("0100000200200000000000000000000000000000", "hex").toString("latin1");
const long = `${"a".repeat(120)}/${"b".repeat(120)}`;

const images: Record<string, TarItem[][]> = {
  "owners, modes, links and attributes": [
    [
      dir("./", { mtime: 1_600_000_000 }),
      dir("bin/", { mtime: 5 }),
      { path: "bin/su", data: "#!", mode: 0o4755, uid: 0, gid: 42 },
      { path: "bin/sticky", data: "", mode: 0o1777, uid: 4_000_000, gid: 3_000_000 },
      { path: "bin/sh", type: "1", link: "bin/su" },
      { path: "bin/again", type: "1", link: "bin/sh" },
      { path: "bin/to", link: "../nowhere/at/all" },
      { path: "ping", data: "x".repeat(10_000), pax: { "SCHILY.xattr.security.capability": capability, mtime: "1700000000.123456789" } },
      { path: "noted", data: "y", pax: { "SCHILY.xattr.user.one": "1", "SCHILY.xattr.user.two": "2".repeat(600) } },
      { path: "queue", type: "6", mode: 0o620 },
      dir(`${"a".repeat(90)}/`),
      dir("a/", { pax: { path: `${"a".repeat(120)}/` } }),
      { path: "l", data: "long", pax: { path: long } },
      { path: "ünï", data: "utf-8" },
      { path: "old", data: "before the epoch", pax: { mtime: "-86400.5" } },
    ],
  ],
  "whiteouts and replacements": [
    [
      dir("./"),
      dir("etc/"),
      { path: "etc/a", data: "a" },
      { path: "etc/b", data: "b" },
      dir("lib/"),
      { path: "lib/one", data: "1" },
      { path: "lib/two", type: "1", link: "lib/one" },
      dir("opq/"),
      { path: "opq/x", data: "x" },
      dir("opq/deep/"),
      { path: "opq/deep/y", data: "y" },
      { path: "file", data: "file" },
      dir("dir/"),
      { path: "dir/z", data: "z" },
      dir("usr/"),
      dir("usr/lib64/"),
      { path: "lib64", link: "usr/lib64" },
    ],
    [
      dir("etc/", { mode: 0o700, uid: 7 }),
      { path: "etc/.wh.a" },
      { path: "etc/c", data: "c" },
      { path: "lib/.wh.one" },
      dir("opq/", { mtime: 77 }),
      { path: "opq/.wh..wh..opq" },
      { path: "opq/new", data: "new" },
      dir("file/"),
      { path: "file/now", data: "directory" },
      { path: "dir", data: "now a file" },
      { path: "lib64/libc.so", data: "through a link", mtime: 9 },
    ],
    [
      dir("etc/", { mode: 0o750 }),
      { path: "etc/a", data: "back again" },
      { path: ".wh.opq" },
      dir("dir/"),
      { path: "etc/b", type: "1", link: "etc/c" },
    ],
  ],
};

/** One digest for everything that tar can see of a tree, and the listing for a difference. */
function describeTree(directory: string): { digest: string; listing: string } {
  const args = [
    "--sort=name",
    "--xattrs",
    "--xattrs-include=*",
    "--numeric-owner",
    "--format=pax",
    "--pax-option=delete=atime,delete=ctime",
    "--exclude=./lost+found",
  ];
  const packed = join(root, "described.tar");
  execFileSync("tar", ["-C", directory, ...args, "-cf", packed, "."]);
  const listing = execFileSync("tar", ["--numeric-owner", "--full-time", "--xattrs", "-tvvf", packed], { maxBuffer: 64 * MiB }).toString();
  const digest = createHash("sha256").update(readFileSync(packed)).digest("hex");
  return { digest, listing };
}

test.each(Object.keys(images))("%s", { timeout: 120_000 }, async (name) => {
  const tag = `t${Object.keys(images).indexOf(name)}`;
  const layers = (images[name] ?? []).map((items, number) => {
    const path = join(root, `${tag}-${number}.tar`);
    writeFileSync(path, tar(...items.map((item) => ({ ...item, path: Buffer.from(item.path, "utf8").toString("latin1") }))));
    return path;
  });
  const layout = join(root, `layout-${tag}`);
  await writeLayout(layout, [{ tag, layers, compression: "gzip" }]);
  registry.push(layout, tag, `odd/image:${tag}`);

  const settings = { mirrors: new Map(), registries: [new URL(registry.url)] };
  const client = new RegistryClient({ settings, credentials: new Map(), platform: { os: "linux", architecture: "amd64" } });
  const resolved = await client.resolve(`${new URL(registry.url).host}/odd/image:${tag}`, signal);
  const disk = join(root, `${tag}.ext4`);
  const store = await LayerStore.open(join(root, "layers"), 64 * MiB);
  const limits = { entriesMax: 1_000, bytesMax: 64 * MiB, diskBytes: 256 * MiB };
  await pullLayers(resolved, { client, layers: store, limits, target: disk, signal });
  execFileSync("e2fsck", ["-fn", disk], { stdio: "pipe" });

  const theirs = join(root, `umoci-${tag}`);
  const copied = join(root, `copied-${tag}`);
  execFileSync(
    "skopeo",
    ["copy", "--quiet", "--src-tls-verify=false", `docker://${new URL(registry.url).host}/odd/image:${tag}`, `oci:${copied}:x`],
    { stdio: "pipe" },
  );
  execFileSync("umoci", ["raw", "unpack", "--image", `${copied}:x`, theirs], { stdio: "pipe" });

  const ours = join(root, `mounted-${tag}`);
  mkdirSync(ours);
  execFileSync("mount", ["-o", "loop,ro", disk, ours], { stdio: "pipe" });
  try {
    const [mine, other] = [describeTree(ours), describeTree(theirs)];
    expect(mine.listing.split("\n").length).toBeGreaterThan(8);
    expect(mine.listing).toBe(other.listing);
    expect(mine.digest).toBe(other.digest);
  } finally {
    execFileSync("umount", [ours]);
    rmSync(theirs, { recursive: true, force: true });
  }
});
