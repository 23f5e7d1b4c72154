/**
 * `node packages/server/src/main/rotate-content.ts`: stores everything that was sealed with an old content key (checkpoints, versions, images) again under the
 * current one. Put the new key first, restart the servers, run this until its `remaining` names only the new key (runbook: rotate keys).
 */
import { openFileStore } from "../blobs/fs.ts";
import { signedGrants } from "../blobs/signed-grants.ts";
import { readConfig } from "../config.ts";
import { loadKeyRing } from "../key-file.ts";
import { rotateContent } from "../operations/rotate-content.ts";
import { openKeys } from "../secrets.ts";
import { openDb } from "../store/db.ts";

const config = readConfig(process.env);
const keys = openKeys(await loadKeyRing(config));
const blobs = await openFileStore(config.blobDirectory, signedGrants(keys, config.workerUrl));
const db = openDb({ url: config.databaseUrl, poolSize: 2 });
try {
  const rotation = await rotateContent(
    { db, blobs, keys },
    { onArtifact: ({ artifactId, resealed }) => void process.stderr.write(`${artifactId}: ${resealed} artifacts sealed again\n`) },
  );
  for (const { artifactId, orgId, kind, reason } of rotation.unreadable)
    process.stderr.write(`${kind} artifact ${artifactId} of organization ${orgId} was left as it is: ${reason}\n`);
  process.stdout.write(`${JSON.stringify({ ...rotation, unreadable: rotation.unreadable.length })}\n`);
  process.exitCode = rotation.unreadable.length === 0 ? 0 : 1;
} finally {
  await db.close();
}
