/** Finds the task of a run in its loaded module, by export name and id (sdk §5). */
import { type Task, isTask } from "./task.ts";

export type TaskLookup = { ok: true; task: Task } | { ok: false; failure: { kind: "task_not_found"; message: string } };

export function findTask(input: { exports: Readonly<Record<string, unknown>>; exportName: string; taskId: string }): TaskLookup {
  const { exports, exportName, taskId } = input;
  const value = exports[exportName];
  if (isTask(value) && value.id === taskId) return { ok: true, task: value };
  const ids = Object.values(exports)
    .filter(isTask)
    .map((task) => task.id);
  return { ok: false, failure: { kind: "task_not_found", message: taskNotFoundText(taskId, ids) } };
}

/** `task "helo" was not found; did you mean "hello"?`, the question for near names only. */
export function taskNotFoundText(taskId: string, known: readonly string[]): string {
  const near = known
    .map((id) => ({ id, distance: editDistance(taskId, id) }))
    .filter(({ id, distance }) => distance <= Math.max(1, Math.floor(Math.max(taskId.length, id.length) / 4)))
    .sort((left, right) => left.distance - right.distance)[0];
  return `task "${taskId}" was not found${near === undefined ? "" : `; did you mean "${near.id}"?`}`;
}

/** Levenshtein distance, without regard to case. */
function editDistance(left: string, right: string): number {
  const a = left.toLowerCase();
  const b = right.toLowerCase();
  let row = Array.from({ length: b.length + 1 }, (_value, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const substitution = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min((row[j] as number) + 1, (next[j - 1] as number) + 1, substitution));
    }
    row = next;
  }
  return row[b.length] as number;
}
