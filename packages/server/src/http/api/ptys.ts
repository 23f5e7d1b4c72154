/** Terminals (http §14), and the same as a WebSocket for browsers (docs/reference/workspace-extension.md). */
import { ptyEndpoints } from "@helmr/protocol/api";
import type { EngineContext } from "../../engine-context.ts";
import { closePty, resizePty } from "../../operations/control-exec.ts";
import { type ExecAddress, listExecs, readExec } from "../../operations/read-execs.ts";
import { newPty, startExec } from "../../operations/start-exec.ts";
import { writeInput } from "../../operations/write-input.ts";
import { isRefusal } from "../../outcome.ts";
import type { Routes } from "../route.ts";
import { chunkView, ptyView } from "./exec-view.ts";
import { readBytes } from "./follow-bytes.ts";
import { attachTerminal } from "./terminal-socket.ts";

const addressOf = (scope: { environmentId: string }, params: { id: string; ptyID: string }): ExecAddress => ({
  environmentId: scope.environmentId,
  workspaceId: params.id,
  id: params.ptyID,
  kind: "pty",
});

export function addPtyRoutes(routes: Routes, context: EngineContext, onFault: (error: unknown) => void): void {
  routes.add(ptyEndpoints.create, async ({ scope, params, body }) => {
    const started = await startExec(context, newPty(scope.environmentId, params.id, body));
    if (isRefusal(started)) return started;
    const pty = ptyView(started.exec);
    return started.cached ? { status: 200, body: { pty, is_cached: true as const } } : { status: 201, body: { pty } };
  });

  routes.add(ptyEndpoints.list, async ({ scope, params, query }) => {
    const filter = {
      environmentId: scope.environmentId,
      workspaceId: params.id,
      kind: "pty" as const,
      state: query.state,
      limit: query.limit,
    };
    const ptys = await listExecs(context, filter);
    return isRefusal(ptys) ? ptys : { body: { ptys: ptys.map(ptyView) } };
  });

  routes.add(ptyEndpoints.get, async ({ scope, params }) => {
    const pty = await readExec(context, addressOf(scope, params));
    return isRefusal(pty) ? pty : { body: { pty: ptyView(pty) } };
  });

  routes.add(ptyEndpoints.input, async ({ scope, params, body }) => {
    const write = { offset: body.offset, data: Buffer.from(body.data, "base64") };
    const chunk = await writeInput(context, addressOf(scope, params), write);
    return isRefusal(chunk) ? chunk : { body: chunkView(chunk) };
  });

  routes.add(ptyEndpoints.output, ({ scope, params, query, request, reply }) =>
    readBytes({ context, request, reply, onFault }, addressOf(scope, params), { name: "output", cursor: query.cursor, limit: query.limit }),
  );

  routes.add(ptyEndpoints.resize, async ({ scope, params, body }) => {
    const pty = await resizePty(context, addressOf(scope, params), body);
    return isRefusal(pty) ? pty : { body: { pty: ptyView(pty) } };
  });

  routes.add(ptyEndpoints.close, async ({ scope, params }) => {
    const pty = await closePty(context, addressOf(scope, params));
    return isRefusal(pty) ? pty : { body: { pty: ptyView(pty) } };
  });

  routes.addSocket(ptyEndpoints.attach, async ({ scope, params, query }) => {
    const address = addressOf(scope, params);
    const pty = await readExec(context, address);
    if (isRefusal(pty)) return pty;
    return (socket) => attachTerminal(socket, { context, address, cursor: query.cursor, onFault });
  });
}
