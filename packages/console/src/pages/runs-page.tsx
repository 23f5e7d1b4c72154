import type { Run } from "@helmr/protocol/api";
import { useQuery } from "@tanstack/react-query";
import { CirclePlay } from "lucide-react";
import { listMax, runsQuery } from "../api/queries.ts";
import { EmptyState, ListState } from "../components/list-states.tsx";
import { PageHeader } from "../components/page-header.tsx";
import { RunTable } from "../components/run-table.tsx";
import { useQueryText } from "../hooks/use-query-text.ts";
import { useScope } from "../hooks/use-scope.ts";
import { Card } from "../ui/card.tsx";
import { FilterBar, SelectFilter } from "../ui/filter-bar.tsx";

const statusNames: Record<Run["status"], string> = {
  queued: "Queued",
  running: "Running",
  waiting: "Waiting",
  succeeded: "Succeeded",
  failed: "Failed",
  cancelled: "Cancelled",
  expired: "Expired",
};
const statuses = [
  { value: "", label: "Any status" },
  { value: "live", label: "Not ended" },
  ...Object.entries(statusNames).map(([value, label]) => ({ value, label })),
];

export function RunsPage() {
  const scope = useScope();
  const { status } = useQueryText();
  const runs = useQuery(runsQuery(scope, { status, limit: listMax }));
  return (
    <>
      <PageHeader title="Runs" detail="Every execution, newest first. A session has one per turn." />
      <FilterBar>
        <SelectFilter name="status" label="Status" options={statuses} />
      </FilterBar>
      <Card flush>
        <ListState
          query={runs}
          empty={
            <EmptyState
              icon={<CirclePlay />}
              title={status === undefined ? "No run yet" : "No run has this status"}
              command={
                status === undefined ? `helmr session start TASK --project ${scope.project} --env ${scope.environment} --follow` : undefined
              }
            >
              {status === undefined ? "Start a session, and its first run appears here." : "Choose another one."}
            </EmptyState>
          }
        >
          {(items) => (
            <>
              <RunTable scope={scope} runs={items} />
              {items.length === listMax ? (
                <p className="border-t border-line px-3.5 py-2 text-xs text-muted">The newest {listMax}.</p>
              ) : null}
            </>
          )}
        </ListState>
      </Card>
    </>
  );
}
