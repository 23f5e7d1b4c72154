import { AppLink } from "../ui/app-link.tsx";
import { useScope } from "../hooks/use-scope.ts";
import { paths } from "../util/paths.ts";

export function TaskLink({ taskId }: { taskId: string }) {
  return (
    <AppLink href={paths.task(useScope(), taskId)} className="text-accent hover:underline">
      {taskId}
    </AppLink>
  );
}
