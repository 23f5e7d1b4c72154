import { argument, command, jsonFlag } from "../../command.ts";
import { findEnvironment } from "../project/find.ts";
import { projectFlag } from "./project-flag.ts";

export const envGet = command({
  name: "env get",
  summary: "show an environment",
  examples: [{ says: "by slug", command: "helmr env get staging --project shop" }],
  needs: "login",
  args: { env: argument("ENV", "slug or id of the environment") },
  flags: { ...projectFlag, ...jsonFlag },
  async run(context) {
    const { environment } = await findEnvironment(await context.management(), {
      project: context.flags.project,
      environment: context.args.env,
    });
    if (context.flags.json) return context.out.json(environment);
    return context.out.lines([
      `ID: ${environment.id}`,
      `Project: ${environment.project_id}`,
      `Slug: ${environment.slug}`,
      `Name: ${environment.name}`,
      `Color: ${environment.color_hex}`,
    ]);
  },
});
