/** Loops of accounts: what logins leave behind, and environments that were deleted. */
import type { AccountContext } from "../account-context.ts";
import { pruneAccounts } from "../operations/prune-accounts.ts";
import { purgeDeletedEnvironments } from "../operations/purge-environments.ts";
import type { Reconciler } from "./loop.ts";

export function accountReconcilers({ db }: Pick<AccountContext, "db">): Reconciler[] {
  return [
    {
      name: "prune-accounts",
      periodMs: 10 * 60_000,
      async run() {
        const { changed, more } = await pruneAccounts(db);
        return { scanned: changed, changed, skipped: 0, more };
      },
    },
    {
      // Deleting an environment sends a hint under this name (purgeTopic).
      name: "purge-environments",
      periodMs: 60_000,
      async run() {
        const { changed, more } = await purgeDeletedEnvironments(db);
        return { scanned: changed, changed, skipped: 0, more };
      },
    },
  ];
}
