/** Rows of accounts that only told what became of something: removed in pages some time after their end. */
import type { Queryable } from "./db.ts";
import { type Statement, statement } from "./statement.ts";

interface Page {
  age_ms: number;
  row_limit: number;
}

function ended(table: string, key: string, at: string): Statement<Page, Record<string, never>> {
  return statement<Page>(
    `retention_${table}`,
    `delete from ${table}
      where ${key} in (select ${key} from ${table} where ${at} < now() - $age_ms * interval '1 millisecond' order by ${at} limit $row_limit)`,
  );
}

const statements = {
  login_sessions: ended("login_sessions", "id", "expires_at"),
  magic_links: ended("magic_links", "id", "expires_at"),
  device_logins: ended("device_logins", "id", "expires_at"),
  rate_limits: ended("rate_limits", "key", "updated_at"),
  invitations: ended("invitations", "id", "expires_at"),
} as const;

export type RetainedTable = keyof typeof statements;

export const retentionPrune = (on: Queryable, table: RetainedTable, page: Page) => on.run(statements[table], page);
