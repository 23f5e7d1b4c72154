import { namePattern } from "@helmr/protocol/shared";
import { argument, environmentCommand, jsonFlag } from "../../command.ts";
import { Failure } from "../../failure.ts";

export const taskGet = environmentCommand({
  name: "task get",
  summary: "show a task of the current deployment",
  examples: [{ says: "where the task hello comes from", command: "helmr task get hello" }],
  args: { task: argument("TASK", "id of the task") },
  flags: jsonFlag,
  async run(context) {
    const { task: taskId } = context.args;
    checkTaskId(taskId);
    const api = await context.environment();
    const task = await api.call("tasks.get", { params: { taskID: taskId } });
    if (context.flags.json) return context.out.json(task);
    return context.out.lines([
      `Task:       ${task.task_id}`,
      `File:       ${task.file_path ?? ""}`,
      `Export:     ${task.export_name ?? ""}`,
      `Bundle:     ${task.bundle_digest ?? ""}`,
    ]);
  },
});

function checkTaskId(taskId: string): void {
  if (!namePattern.task.test(taskId))
    throw new Failure(`invalid task id ${JSON.stringify(taskId)}: it must match ${namePattern.task.source}`);
}
