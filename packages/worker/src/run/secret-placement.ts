/** A delivered secret as the guest is told to place it. */
import type { SecretPlacement } from "@helmr/protocol/guest";
import type { SecretValue } from "@helmr/protocol/worker";

export function placement(secret: SecretValue): SecretPlacement {
  const { name, value, env, file, dir, mode, owner } = secret;
  if (env !== undefined) return { name, value, env };
  if (file !== undefined) return { name, value, file, mode, owner };
  return { name, value, dir: dir ?? name, mode, owner };
}
