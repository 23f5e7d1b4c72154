import { argument, command, jsonFlag, text } from "../../command.ts";
import { Failure } from "../../failure.ts";
import { findEnvironment } from "../project/find.ts";
import { projectFlag } from "./project-flag.ts";
import { environmentRow } from "./row.ts";

export const envUpdate = command({
  name: "env update",
  summary: "change name, slug or colour of an environment",
  examples: [{ says: "another colour", command: "helmr env update preview --project shop --color '#06B6D4'" }],
  needs: "login",
  args: { env: argument("ENV", "slug or id of the environment") },
  flags: {
    ...projectFlag,
    name: text("NAME", "its new name"),
    slug: text("SLUG", "its new slug"),
    color: text("#RRGGBB", "its new colour in the console"),
    ...jsonFlag,
  },
  async run(context) {
    const { flags } = context;
    if (flags.name === undefined && flags.slug === undefined && flags.color === undefined) {
      throw new Failure("env update needs --name, --slug or --color");
    }
    const api = await context.management();
    const { project, environment: present } = await findEnvironment(api, { project: flags.project, environment: context.args.env });
    const environment = await api.call("environments.update", {
      params: { project: project.id, environment: present.id },
      body: {
        slug: flags.slug?.toLowerCase() ?? present.slug,
        name: flags.name ?? present.name,
        color_hex: flags.color ?? present.color_hex,
      },
    });
    return flags.json ? context.out.json(environment) : context.out.line(environmentRow(environment));
  },
});
