/** Execs (http §13). */
import { execEndpoints } from "@helmr/protocol/api";
import type { EngineContext } from "../../engine-context.ts";
import { closeStdin, signalExec } from "../../operations/control-exec.ts";
import { type ExecAddress, listExecs, readExec } from "../../operations/read-execs.ts";
import { newExec, startExec } from "../../operations/start-exec.ts";
import { writeInput } from "../../operations/write-input.ts";
import { isRefusal } from "../../outcome.ts";
import type { Routes } from "../route.ts";
import { chunkView, execView } from "./exec-view.ts";
import { readBytes } from "./follow-bytes.ts";

const addressOf = (scope: { environmentId: string }, params: { id: string; execID: string }): ExecAddress => ({
  environmentId: scope.environmentId,
  workspaceId: params.id,
  id: params.execID,
  kind: "exec",
});

export function addExecRoutes(routes: Routes, context: EngineContext, onFault: (error: unknown) => void): void {
  routes.add(execEndpoints.create, async ({ scope, params, body }) => {
    const started = await startExec(context, newExec(scope.environmentId, params.id, body));
    if (isRefusal(started)) return started;
    const exec = execView(started.exec);
    return started.cached ? { status: 200, body: { exec, is_cached: true as const } } : { status: 201, body: { exec } };
  });

  routes.add(execEndpoints.list, async ({ scope, params, query }) => {
    const filter = {
      environmentId: scope.environmentId,
      workspaceId: params.id,
      kind: "exec" as const,
      state: query.state,
      limit: query.limit,
    };
    const execs = await listExecs(context, filter);
    return isRefusal(execs) ? execs : { body: { execs: execs.map(execView) } };
  });

  routes.add(execEndpoints.get, async ({ scope, params }) => {
    const exec = await readExec(context, addressOf(scope, params));
    return isRefusal(exec) ? exec : { body: { exec: execView(exec) } };
  });

  routes.add(execEndpoints.writeStdin, async ({ scope, params, body }) => {
    const write = { offset: body.offset, data: Buffer.from(body.data, "base64") };
    const chunk = await writeInput(context, addressOf(scope, params), write);
    return isRefusal(chunk) ? chunk : { body: chunkView(chunk) };
  });

  routes.add(execEndpoints.closeStdin, async ({ scope, params }) => {
    const exec = await closeStdin(context, addressOf(scope, params));
    return isRefusal(exec) ? exec : { body: { exec: execView(exec) } };
  });

  routes.add(execEndpoints.signal, async ({ scope, params, body }) => {
    const exec = await signalExec(context, addressOf(scope, params), body.signal);
    return isRefusal(exec) ? exec : { body: { exec: execView(exec) } };
  });

  for (const name of ["stdout", "stderr"] as const) {
    routes.add(execEndpoints[name], ({ scope, params, query, request, reply }) =>
      readBytes({ context, request, reply, onFault }, addressOf(scope, params), { name, cursor: query.cursor, limit: query.limit }),
    );
  }
}
