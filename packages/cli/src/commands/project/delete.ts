import { argument, command, toggle } from "../../command.ts";
import { findProject } from "./find.ts";

export const projectDelete = command({
  name: "project delete",
  summary: "delete a project with everything in it",
  examples: [{ says: "without a question", command: "helmr project delete shop --yes" }],
  needs: "login",
  args: { project: argument("PROJECT", "slug or id of the project") },
  flags: { yes: toggle("do it without asking; needed where nobody can be asked") },
  async run(context) {
    await context.confirm(`Delete the project ${context.args.project} with everything in it?`);
    const api = await context.management();
    const project = await findProject(api, context.args.project);
    await api.call("projects.delete", { params: { project: project.id } });
    return context.out.line(project.id);
  },
});
