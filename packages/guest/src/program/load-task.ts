/** From a compiled module to its task, with a sentence for each thing that can be wrong. */
import { findTask, type Task } from "@helmr/sdk/runtime";
import type { ProgramEnd, StartMessage } from "./pipe.ts";

type NotStarted = Extract<ProgramEnd, { outcome: "not_started" }>;
export type LoadedTask = { ok: true; task: Task } | { ok: false; end: NotStarted; error?: unknown };

export async function loadTask(start: StartMessage): Promise<LoadedTask> {
  let exports: Record<string, unknown>;
  try {
    exports = (await import(`file://${start.module.split("/").map(encodeURIComponent).join("/")}`)) as Record<string, unknown>;
  } catch (error) {
    return { ok: false, ...importFailure(error, start) };
  }
  const found = findTask({ exports, exportName: start.exportName, taskId: start.task.id });
  if (found.ok) return { ok: true, task: found.task };
  return {
    ok: false,
    end: { outcome: "not_started", failureKind: "task_not_found", detail: "module_missing", message: found.failure.message },
  };
}

function importFailure(error: unknown, start: StartMessage): { end: NotStarted; error?: unknown } {
  const { code, message } = error as NodeJS.ErrnoException;
  const missing = code === "ERR_MODULE_NOT_FOUND" || code === "MODULE_NOT_FOUND" ? missingModule(message) : undefined;
  if (missing === start.module) {
    return {
      end: notStarted(
        "task_not_found",
        "module_missing",
        `The compiled module ${start.module} of task "${start.task.id}" is missing in the deployment`,
      ),
    };
  }
  if (missing !== undefined) {
    const text = `The dependency "${missing}" of task "${start.task.id}" cannot be resolved. Declare it under dependencies in package.json, so that the deployment installs it, or install it at /opt/helmr-task/node_modules in the image`;
    return { end: notStarted("task_failed", "dependency_missing", text) };
  }
  const summary = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return {
    end: notStarted(
      "task_failed",
      "module_failed",
      `The module of task "${start.task.id}" failed while it was loaded: ${summary}`.slice(0, 8000),
    ),
    error,
  };
}

function notStarted(failureKind: NotStarted["failureKind"], detail: NotStarted["detail"], message: string): NotStarted {
  return { outcome: "not_started", failureKind, detail, message };
}

/** `Cannot find package 'x' imported from …`, `Cannot find module '/…/node_modules/x/y.js' …` (import), and the same with a require stack. */
function missingModule(message: string): string | undefined {
  const name = /^Cannot find (?:package|module) '([^']+)'/.exec(message)?.[1];
  return name?.split("/node_modules/").at(-1);
}
