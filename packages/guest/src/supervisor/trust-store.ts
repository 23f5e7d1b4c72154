/**
 * The operator's certificates in an image's trust store: behind the bundles that its programs read, and in a file of their own for Node, which
 * has its own bundle.
 */
import { appendFileSync, closeSync, constants, lstatSync, openSync, writeFileSync } from "node:fs";
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
