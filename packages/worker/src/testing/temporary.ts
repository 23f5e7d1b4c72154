/** A private directory of a test file, removed at its end. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";

export function temporaryDirectory(name: string): string {
  const path = mkdtempSync(join(tmpdir(), `helmr-${name}-`));
  afterAll(() => rmSync(path, { recursive: true, force: true }));
  return path;
}
