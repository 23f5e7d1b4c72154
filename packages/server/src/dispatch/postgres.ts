/**
 * Dispatch on PostgreSQL alone: the partial index `run_queue_open` is the index, hints are the wake-up.
 *
 * Environments and shapes of need are found by skipping along the index, one step each, and only shapes that fit a waiting worker are looked into: a
 * saturated environment, or ten thousand runs that are too large for what is free, cost one step. Environments take turns: the first of each comes
 * before the second of any, and who was served last begins the next round at the end of the line.
 */
import type { Candidate } from "../domain/queue.ts";
import type { Hints } from "../hints.ts";
import type { Queryable } from "../store/db.ts";
import { statement } from "../store/statement.ts";
import type { Dispatch } from "./port.ts";

interface CandidateRow {
  run_id: string;
  environment_id: string;
  workspace_id: string;
  image_ref: string;
  checkpoint_id: string | null;
  requires: string | null;
  milli_cpu: number;
  memory_mib: number;
  disk_mib: number;
}

const propose = statement<
  {
    worker_group: string;
    cpus: number[];
    memories: number[];
    disks: number[];
    restores: string[];
    last_environment_id: string;
    row_limit: number;
  },
  CandidateRow
>(
  "dispatch_propose",
  `with recursive shapes as (
          (select environment_id, milli_cpu, memory_mib, disk_mib from run_queue where gate = 'open' and mount_id is null and worker_group = $worker_group
            order by environment_id, milli_cpu, memory_mib, disk_mib limit 1)
          union all
          select next.* from shapes s
           cross join lateral (select environment_id, milli_cpu, memory_mib, disk_mib from run_queue
                                where gate = 'open' and mount_id is null and worker_group = $worker_group
                                  and (environment_id, milli_cpu, memory_mib, disk_mib) > (s.environment_id, s.milli_cpu, s.memory_mib, s.disk_mib)
                                order by environment_id, milli_cpu, memory_mib, disk_mib limit 1) next),
        fitting as (
          select s.* from shapes s
           where exists (select from unnest($cpus::bigint[], $memories::bigint[], $disks::bigint[]) as f (milli_cpu, memory_mib, disk_mib)
                          where s.milli_cpu <= f.milli_cpu and s.memory_mib <= f.memory_mib and s.disk_mib <= f.disk_mib)),
        ranked as (
          select q.*, row_number() over (partition by q.environment_id order by q.resume desc, q.priority desc, q.ready_at, q.run_id) as turn
            from fitting s
           cross join lateral (select * from run_queue q
                                where q.gate = 'open' and q.mount_id is null and q.worker_group = $worker_group and q.environment_id = s.environment_id
                                  and q.milli_cpu = s.milli_cpu and q.memory_mib = s.memory_mib and q.disk_mib = s.disk_mib
                                  and (q.requires is null or q.requires = any($restores::text[]))
                                order by q.resume desc, q.priority desc, q.ready_at, q.run_id limit $row_limit) q)
   select run_id, environment_id, workspace_id, image_ref, checkpoint_id, requires, milli_cpu, memory_mib, disk_mib from ranked
    order by turn, environment_id > $last_environment_id::uuid desc, environment_id limit $row_limit`,
);

const beforeAll = "00000000-0000-0000-0000-000000000000";
const topicOf = (group: string) => `dispatch:${group}`;

export function openPostgresDispatch(db: Queryable, hints: Hints): Dispatch {
  /** Per worker group: the environment that was served last. */
  const lastServed = new Map<string, string>();
  return {
    async propose({ group, free, restores, limit }) {
      const rows = await db.all(propose, {
        worker_group: group,
        cpus: free.map((capacity) => capacity.milliCpu),
        memories: free.map((capacity) => capacity.memoryMib),
        disks: free.map((capacity) => capacity.diskMib),
        restores: [...new Set(restores)],
        last_environment_id: lastServed.get(group) ?? beforeAll,
        row_limit: limit,
      });
      const last = rows.at(-1);
      if (last) lastServed.set(group, last.environment_id);
      return rows.map(candidate);
    },
    ready(runs) {
      for (const group of new Set(runs.map((run) => run.workerGroup))) hints.send(topicOf(group));
    },
    wake: (group) => hints.send(topicOf(group)),
    onReady: (group, listener) => hints.subscribe(topicOf(group), listener),
    // The queue table is the index: there is nothing that could differ.
    repair: () => Promise.resolve({ scanned: 0, changed: 0 }),
  };
}

function candidate(row: CandidateRow): Candidate {
  return {
    runId: row.run_id,
    environmentId: row.environment_id,
    needs: { milliCpu: row.milli_cpu, memoryMib: row.memory_mib, diskMib: row.disk_mib },
    workspaceId: row.workspace_id,
    imageRef: row.image_ref,
    checkpointId: row.checkpoint_id,
    requires: row.requires,
  };
}
