/**
 * The schema of a database as readable SQL: what `packages/server/schema.sql` holds. Made from the catalog, sorted by name, so that two databases with the
 * same schema give the same text whatever migrations led there.
 */
import pg from "pg";

interface Column {
  table: string;
  name: string;
  type: string;
  required: boolean;
  default: string | null;
}

interface Named {
  table: string;
  definition: string;
}

const columns = `
  select c.relname as table, a.attname as name, format_type(a.atttypid, a.atttypmod) as type, a.attnotnull as required, pg_get_expr(d.adbin, d.adrelid) as default
    from pg_class c
    join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
   where c.relkind = 'r' and c.relnamespace = 'public'::regnamespace
   order by c.relname, a.attnum`;

const constraints = `
  select t.relname as table, format('constraint %I %s', c.conname, pg_get_constraintdef(c.oid)) as definition
    from pg_constraint c join pg_class t on t.oid = c.conrelid
   where t.relnamespace = 'public'::regnamespace and c.contype <> 'n'
   order by t.relname, position(c.contype in 'pucf'), c.conname`;

/** Indexes of their own, not those of constraints. */
const indexes = `
  select t.relname as table, pg_get_indexdef(i.indexrelid) as definition
    from pg_index i join pg_class t on t.oid = i.indrelid join pg_class x on x.oid = i.indexrelid
   where t.relnamespace = 'public'::regnamespace and not exists (select from pg_constraint c where c.conindid = i.indexrelid and c.contype in ('p', 'u', 'x'))
   order by t.relname, x.relname`;

export async function describeSchema(databaseUrl: string): Promise<string> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    const all = (await client.query<Column>(columns)).rows;
    const rules = (await client.query<Named>(constraints)).rows;
    const ways = (await client.query<Named>(indexes)).rows;
    const tables = [...new Set(all.map((column) => column.table))];
    return `${tables.map((table) => describeTable(table, all, rules, ways)).join("\n\n")}\n`;
  } finally {
    await client.end();
  }
}

function describeTable(table: string, all: Column[], rules: Named[], ways: Named[]): string {
  const own = all.filter((column) => column.table === table);
  const width = Math.max(...own.map((column) => column.name.length));
  const members = [
    ...own.map(
      ({ name, type, required, default: value }) =>
        `${name.padEnd(width)} ${type}${required ? " not null" : ""}${value === null ? "" : ` default ${value}`}`,
    ),
    ...rules.filter((rule) => rule.table === table).map((rule) => rule.definition),
  ];
  const statements = [
    `create table ${table} (\n  ${members.join(",\n  ")}\n);`,
    ...ways.filter((way) => way.table === table).map((way) => `${way.definition};`),
  ];
  return statements.join("\n");
}
