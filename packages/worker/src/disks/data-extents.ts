/**
 * Where a sparse file holds data, so that a device of 10 GiB costs what is written in it. Node has no lseek(SEEK_DATA); Debian's perl-base
 * is an essential package, does it exactly, on every file system, and takes 3 ms. (filefrag is as fast but knows no tmpfs; reading the
 * holes of a 10 GiB file takes seconds.) Where perl is missing the whole file counts as data: slower, never wrong.
 */
import { execFile } from "node:child_process";
import { stat } from "node:fs/promises";
import type { ByteRange } from "./byte-ranges.ts";

const script = `
open(my $f, '<', $ARGV[0]) or exit 3;
my $end = -s $f; my $at = 0;
while ($at < $end) {
  my $data = sysseek($f, $at, 3); last unless defined $data;
  my $hole = sysseek($f, $data, 4); $hole = $end unless defined $hole;
  print $data + 0, ' ', $hole + 0, "\\n"; $at = $hole;
}`;
const outputBytesMax = 64 * 1024 * 1024;
const limitMs = 30_000;

export async function dataExtents(path: string): Promise<ByteRange[]> {
  const listed = await listExtents(path);
  if (listed !== undefined) return listed;
  const { size } = await stat(path);
  return size === 0 ? [] : [{ start: 0, end: size }];
}

function listExtents(path: string): Promise<ByteRange[] | undefined> {
  return new Promise((resolve) => {
    const options = { maxBuffer: outputBytesMax, timeout: limitMs, env: { LC_ALL: "C" } };
    execFile("/usr/bin/perl", ["-e", script, path], options, (error, stdout) => {
      resolve(error === null ? parseExtents(stdout) : undefined);
    });
  });
}

function parseExtents(text: string): ByteRange[] | undefined {
  const ranges: ByteRange[] = [];
  for (const line of text.split("\n")) {
    if (line === "") continue;
    const [start, end] = line.split(" ").map(Number);
    if (!Number.isSafeInteger(start) || !Number.isSafeInteger(end)) return undefined;
    ranges.push({ start: start as number, end: end as number });
  }
  return ranges;
}
