/**
 * The certificate authorities that this host trusts beyond the public ones: a company's own, usually. Guests get these alone, as PEM; the
 * public ones are in their images. A certificate counts as public when Node or the distribution's package has it.
 */
import { X509Certificate } from "node:crypto";
import { open, readdir } from "node:fs/promises";
import { join } from "node:path";
import { rootCertificates } from "node:tls";
import { networkLimits } from "./limits.ts";

/** What programs are told to trust, in the places they look (Debian and its family; Red Hat and its family). */
const systemBundles = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];
const publicDirectories = ["/usr/share/ca-certificates/mozilla"];
const bundleVariables = ["NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "REQUESTS_CA_BUNDLE"] as const;

export interface CertificateSources {
  environment: Readonly<Record<string, string | undefined>>;
  /** npm's `cafile` and `ca`. */
  files?: readonly string[];
  texts?: readonly string[];
  /** Other places, for tests. */
  systemBundles?: readonly string[];
  publicDirectories?: readonly string[];
}

export interface ExtraCertificates {
  /** `undefined`: this host trusts nobody special. */
  pem: string | undefined;
  count: number;
  /** Sentences for the operator; no host names, no certificate names. */
  notes: string[];
}

export async function findExtraCertificates(sources: CertificateSources): Promise<ExtraCertificates> {
  const notes: string[] = [];
  const named = bundleVariables.flatMap((name) => sources.environment[name] ?? []);
  const files = new Set([...(sources.files ?? []), ...named]);
  const texts: string[] = [...(sources.texts ?? [])];
  for (const file of files) {
    const text = await readBundle(file);
    if (text === undefined) notes.push(`The certificate file ${file} cannot be read, so guests do not get what is in it.`);
    else texts.push(text);
  }
  for (const file of sources.systemBundles ?? systemBundles) texts.push((await readBundle(file)) ?? "");

  const known = await publicCertificates(sources.publicDirectories ?? publicDirectories);
  const extra = new Map<string, string>();
  for (const pem of texts.flatMap(certificatesIn)) {
    const body = bodyOf(pem);
    if (!known.has(body) && isCertificate(pem)) extra.set(body, pem);
  }
  const pem = [...extra.values()].map((certificate) => `${certificate}\n`).join("");
  if (pem.length > networkLimits.caBundleBytes) {
    notes.push(
      `This host trusts ${extra.size} certificates of its own, more than ${networkLimits.caBundleBytes} bytes: guests get none of them.`,
    );
    return { pem: undefined, count: 0, notes };
  }
  return { pem: pem === "" ? undefined : pem, count: extra.size, notes };
}

async function publicCertificates(directories: readonly string[]): Promise<Set<string>> {
  const known = new Set(rootCertificates.map(bodyOf));
  for (const directory of directories) {
    for (const name of await filesIn(directory)) {
      for (const pem of certificatesIn((await readBundle(join(directory, name))) ?? "")) known.add(bodyOf(pem));
    }
  }
  return known;
}

async function filesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch {
    // Another distribution.
    return [];
  }
}

async function readBundle(path: string): Promise<string | undefined> {
  try {
    await using file = await open(path, "r");
    const buffer = Buffer.alloc(4 * networkLimits.caBundleBytes);
    const { bytesRead } = await file.read(buffer, 0, buffer.length, 0);
    return buffer.toString("latin1", 0, bytesRead);
  } catch {
    return undefined;
  }
}

function certificatesIn(text: string): string[] {
  return text.match(/-----BEGIN (?:TRUSTED )?CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END (?:TRUSTED )?CERTIFICATE-----/g) ?? [];
}

/** The certificate without its line breaks: the same bytes have the same text. */
function bodyOf(pem: string): string {
  return pem.replaceAll(/-----[^-]+-----|\s/g, "");
}

function isCertificate(pem: string): boolean {
  try {
    return new X509Certificate(pem).validToDate.getTime() > 0;
  } catch {
    return false;
  }
}
