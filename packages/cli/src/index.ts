/** The command line as a library: for the front door, the generated reference and the tests. */
export { commands, groups } from "./commands/catalog.ts";
export { commandHelp, groupHelp, rootHelp } from "./help.ts";
export type { Host } from "./host.ts";
export { runCli } from "./program.ts";
