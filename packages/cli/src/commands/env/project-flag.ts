import { required, text } from "../../command.ts";

/** Without a short form here: `-p` belongs to the scope of other commands. */
export const projectFlag = { project: required(text("PROJECT", "slug or id of the project")) };
