import { argument, command, toggle } from "../../command.ts";
import { findEnvironment } from "../project/find.ts";
import { projectFlag } from "./project-flag.ts";

export const envDelete = command({
  name: "env delete",
  summary: "delete an environment with everything in it",
  examples: [{ says: "without a question", command: "helmr env delete preview --project shop --yes" }],
  needs: "login",
  args: { env: argument("ENV", "slug or id of the environment") },
  flags: { ...projectFlag, yes: toggle("do it without asking; needed where nobody can be asked") },
  async run(context) {
    const wanted = { project: context.flags.project, environment: context.args.env };
    await context.confirm(`Delete the environment ${wanted.environment} with everything in it?`);
    const api = await context.management();
    const { project, environment } = await findEnvironment(api, wanted);
    await api.call("environments.delete", { params: { project: project.id, environment: environment.id } });
    return context.out.line(environment.id);
  },
});
