/**
 * SQL as text with named parameters. Every statement of the server is registered here by name when its module loads, so that a contract
 * test can PREPARE all of them against the migrated schema, and `pg_stat_statements` shows our own names.
 *
 * Parameters are written `$name` and become `$1`, `$2`, … in the order of their first appearance. The name is sent as the first comment of
 * the text and as the name of the prepared statement, so each connection parses a statement once.
 */
import { Bug } from "../assert.ts";

export interface Statement<P extends object, R extends object> {
  readonly name: string;
  readonly text: string;
  readonly parameters: readonly (keyof P & string)[];
  /** Only for the type checker: what a row looks like. */
  readonly row?: R;
}

const registry = new Map<string, Statement<never, object>>();

export function statement<P extends object, R extends object = Record<string, never>>(name: string, text: string): Statement<P, R> {
  if (!/^[a-z][a-z0-9_]{2,60}$/.test(name)) throw new Bug(`Statement name ${name} is not snake_case`);
  if (registry.has(name)) throw new Bug(`Statement ${name} is registered twice`);
  const parameters: string[] = [];
  const numbered = text.replace(/\$([a-z_][a-z0-9_]*)/gi, (_, parameter: string) => {
    let index = parameters.indexOf(parameter);
    if (index < 0) index = parameters.push(parameter) - 1;
    return `$${index + 1}`;
  });
  const registered = { name, text: `/* ${name} */ ${numbered}`, parameters } as unknown as Statement<P, R>;
  registry.set(name, registered);
  return registered;
}

export function registeredStatements(): readonly Statement<never, object>[] {
  return [...registry.values()];
}
