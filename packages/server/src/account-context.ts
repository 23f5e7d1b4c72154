/** What operations and routes of accounts work with; put together once by `main/`. */
import type { AccountSettings } from "./account-settings.ts";
import type { Hints } from "./hints.ts";
import type { Outbox } from "./mail/outbox.ts";
import type { Keys } from "./secrets.ts";
import type { Db } from "./store/db.ts";

export interface AccountContext {
  db: Db;
  hints: Hints;
  keys: Keys;
  outbox: Outbox;
  settings: AccountSettings;
}
