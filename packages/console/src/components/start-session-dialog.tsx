import { useQuery } from "@tanstack/react-query";
import { tasksQuery } from "../api/queries.ts";
import type { Scope } from "../api/scope.ts";
import { StartSessionForm } from "../forms/start-session-form.tsx";
import { Dialog } from "../ui/dialog.tsx";
import { EmptyState, ListState } from "./list-states.tsx";

export function StartSessionDialog({ scope, onClose }: { scope: Scope; onClose: () => void }) {
  const tasks = useQuery(tasksQuery(scope));
  return (
    <Dialog open wide onOpenChange={onClose} title="Start a session" description={`In ${scope.project} / ${scope.environment}`}>
      <ListState query={tasks} empty={<EmptyState title="No task is deployed here" />}>
        {(items) => <StartSessionForm scope={scope} taskIds={items.map((task) => task.task_id)} />}
      </ListState>
    </Dialog>
  );
}
