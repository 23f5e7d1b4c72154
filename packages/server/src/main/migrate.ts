/** `node packages/server/src/main/migrate.ts`: applies what is new of the schema and says what it applied. Several may run at once. */
import { readConfig } from "../config.ts";
import { migrate } from "../store/migrate.ts";

const applied = await migrate(readConfig(process.env).databaseUrl);
process.stdout.write(`${JSON.stringify({ applied })}\n`);
