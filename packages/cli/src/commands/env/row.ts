import type { Environment } from "@helmr/protocol/api";
import { tabbed } from "../../text/table.ts";

/** What `env create` and `env update` print. */
export function environmentRow(environment: Environment): string {
  return tabbed(environment.id, environment.slug, environment.name, environment.color_hex);
}
