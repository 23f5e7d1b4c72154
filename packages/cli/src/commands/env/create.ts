import { argument, command, jsonFlag, text } from "../../command.ts";
import { defaultColour, defaultSlug } from "../../text/slug.ts";
import { findProject } from "../project/find.ts";
import { projectFlag } from "./project-flag.ts";
import { environmentRow } from "./row.ts";

export const envCreate = command({
  name: "env create",
  summary: "create an environment",
  examples: [{ says: "with slug and colour made from the name", command: "helmr env create Preview --project shop" }],
  needs: "login",
  args: { name: argument("NAME", "name of the environment") },
  flags: {
    ...projectFlag,
    slug: text("SLUG", "its slug; made from the name without it"),
    color: text("#RRGGBB", "its colour in the console; made from the slug without it"),
    ...jsonFlag,
  },
  async run(context) {
    const { args, flags } = context;
    const api = await context.management();
    const project = await findProject(api, flags.project);
    const slug = flags.slug?.toLowerCase() ?? defaultSlug(args.name);
    const environment = await api.call("environments.create", {
      params: { project: project.id },
      body: { slug, name: args.name, color_hex: flags.color ?? defaultColour(slug) },
    });
    return flags.json ? context.out.json(environment) : context.out.line(environmentRow(environment));
  },
});
