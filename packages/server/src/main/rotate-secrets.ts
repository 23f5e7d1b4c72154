/**
 * `node packages/server/src/main/rotate-secrets.ts`: seals every secret value again under the current key of the ring. Put the new key first in the
 * purpose "secrets" of the key ring, restart the servers, run this, and take the old key out when nothing is left under it (runbook: rotate keys).
 */
import { readConfig } from "../config.ts";
import { loadKeyRing } from "../key-file.ts";
import { rotateSecrets } from "../operations/rotate-secrets.ts";
import { openKeys } from "../secrets.ts";
import { openDb } from "../store/db.ts";

const config = readConfig(process.env);
const keys = openKeys(await loadKeyRing(config));
const db = openDb({ url: config.databaseUrl, poolSize: 2 });
try {
  const rotation = await rotateSecrets(db, keys, { onPage: (count) => process.stderr.write(`${count} values sealed again\n`) });
  for (const { environmentId, name, keyId, reason } of rotation.unreadable) {
    process.stderr.write(
      `secret "${name}" of environment ${environmentId} was left under key "${keyId}": ${reason === "unknown_key" ? "the ring has no such key" : "its bytes do not open"}\n`,
    );
  }
  process.stdout.write(
    `${JSON.stringify({ resealed: rotation.resealed, unreadable: rotation.unreadable.length, remaining: rotation.remaining })}\n`,
  );
  process.exitCode = rotation.unreadable.length === 0 ? 0 : 1;
} finally {
  await db.close();
}
