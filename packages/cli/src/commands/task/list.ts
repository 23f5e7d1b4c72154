import { environmentCommand, jsonFlag } from "../../command.ts";
import { tabbed } from "../../text/table.ts";

export const taskList = environmentCommand({
  name: "task list",
  summary: "list the tasks of the current deployment",
  examples: [{ says: "task id, file and export of each task", command: "helmr task list" }],
  args: {},
  flags: jsonFlag,
  async run(context) {
    const api = await context.environment();
    const { tasks } = await api.call("tasks.list");
    if (context.flags.json) return context.out.json({ tasks });
    return context.out.lines(tasks.map((task) => tabbed(task.task_id, task.file_path, task.export_name)));
  },
});
