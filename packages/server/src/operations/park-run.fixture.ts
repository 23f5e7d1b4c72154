/** The run's part of parking, until the operation that parks is there: the run waits for its wait, its checkpoint is ready, lease and mount have ended. */
import type { Tx } from "../store/db.ts";
import { statement } from "../store/statement.ts";

const parked = statement<{ run_id: string; wait_id: string; checkpoint_id: string }>(
  "fixture_park_run",
  `with saved as (insert into checkpoints (id, environment_id, run_id, attempt_id, wait_id, state, compatibility)
                  select $checkpoint_id, environment_id, id, attempt_id, $wait_id, 'ready', '{}' from runs where id = $run_id),
        released as (update leases set state = 'released', ended_at = now() where run_id = $run_id and state = 'held'),
        unmounted as (update workspace_mounts m set state = 'unmounted' from runs r
                       where r.id = $run_id and m.workspace_id = r.workspace_id and m.state in ('mounting', 'mounted'))
   update runs set state = 'waiting', parked_wait_id = $wait_id, checkpoint_id = $checkpoint_id, lease_id = null where id = $run_id`,
);

export const parkRun = (tx: Tx, { runId, waitId, checkpointId }: { runId: string; waitId: string; checkpointId: string }) =>
  tx.run(parked, { run_id: runId, wait_id: waitId, checkpoint_id: checkpointId });
