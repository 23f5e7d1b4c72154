/**
 * The operator's certificates in an image's trust store: behind the bundles that its programs read, and in a file of their own for Node, which
 * has its own bundle.
 */
import { appendFileSync, closeSync, constants, lstatSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { type ConfinedTree, PathError } from "./confined-tree.ts";

/** Debian and Alpine, Red Hat, OpenSSL's own default. */
const bundles = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];
const ownFile = "/run/helmr-extra-ca.pem";

/** The variables that make programs look there, as defaults. */
export function addCertificates(root: ConfinedTree, pem: string): Record<string, string> {
  const text = `\n${pem.trim()}\n`;
  let bundle: string | undefined;
  for (const path of bundles) {
    if (!appendTo(root, path, text)) continue;
    bundle = path;
    break;
  }
  const place = root.locate(ownFile, { makeParents: 0o755 });
  try {
    const fd = openSync(place.path, constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW, 0o644);
    writeFileSync(fd, text);
    closeSync(fd);
  } finally {
    place.close();
  }
  const own = { NODE_EXTRA_CA_CERTS: ownFile, SSL_CERT_FILE: bundle ?? ownFile };
  // Python's requests bring a bundle of their own, which this replaces: only a whole one may.
  return bundle === undefined ? own : { ...own, REQUESTS_CA_BUNDLE: bundle };
}

/**
 * The same for a step of an image build: the image keeps its own bundle, and programs are told of a copy with the certificates in it, which is on no
 * disk. Programs that can only be told by a file of their own configuration do not see them.
 */
export function lendCertificates(root: ConfinedTree, pem: string): Record<string, string> {
  const own = bundles.map((path) => readBundle(root, path)).find((text) => text !== undefined) ?? "";
  const place = root.locate(ownFile, { makeParents: 0o755 });
  try {
    const fd = openSync(place.path, constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW, 0o644);
    writeFileSync(fd, `${own}\n${pem.trim()}\n`);
    closeSync(fd);
  } finally {
    place.close();
  }
  const names = ["NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "GIT_SSL_CAINFO", "npm_config_cafile"];
  return Object.fromEntries(names.map((name) => [name, ownFile]));
}

const bundleBytesMax = 4 * 1024 * 1024;

function readBundle(root: ConfinedTree, path: string): string | undefined {
  try {
    const place = root.locate(path, { followLast: true });
    try {
      const status = lstatSync(place.path);
      return status.isFile() && status.size <= bundleBytesMax ? readFileSync(place.path, "utf8") : undefined;
    } finally {
      place.close();
    }
  } catch (error) {
    if (error instanceof PathError || (error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

function appendTo(root: ConfinedTree, path: string, text: string): boolean {
  try {
    const place = root.locate(path, { followLast: true });
    try {
      if (!lstatSync(place.path).isFile()) return false;
      appendFileSync(place.path, text);
      return true;
    } finally {
      place.close();
    }
  } catch (error) {
    if (error instanceof PathError || (error as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw error;
  }
}
