/** Ports of a workspace's machine: a TCP connection as a WebSocket, and preview URLs (http/preview.ts serves them). */
import type { WebSocket } from "@fastify/websocket";
import { portEndpoints } from "@helmr/protocol/api";
import type { FastifyInstance } from "fastify";
import type { EngineContext } from "../../engine-context.ts";
import { keepMount, liveRefusal, type LiveStream, openLiveCall } from "../../operations/open-live.ts";
import { isRefusal, refuse } from "../../outcome.ts";
import { readWorkspace } from "../../operations/read-workspaces.ts";
import { addPreview, previewToken } from "../preview.ts";
import type { Routes } from "../route.ts";

export interface PortRoutes {
  context: EngineContext;
  publicUrl: string;
  onFault: (error: unknown) => void;
}

export function addPortRoutes(routes: Routes, app: FastifyInstance, { context, publicUrl, onFault }: PortRoutes): void {
  routes.add(portEndpoints.preview, async ({ scope, params, body }) => {
    const workspace = await readWorkspace(context, scope.environmentId, params.id);
    if (isRefusal(workspace)) return workspace;
    if (workspace.state !== "active") return refuse("workspace_not_active");
    const expires = new Date(Date.now() + body.ttl_seconds * 1_000);
    const token = previewToken(context, {
      environmentId: scope.environmentId,
      workspaceId: params.id,
      port: params.port,
      expiresMs: expires.getTime(),
    });
    const path = `/preview/${token}/`;
    return { body: { port: params.port, url: publicUrl + path, path, expires_at: expires.toISOString().replace(/\.?0+Z$/, "Z") } };
  });

  routes.addSocket(portEndpoints.connect, async ({ scope, params }) => {
    const target = { environmentId: scope.environmentId, workspaceId: params.id, writes: false };
    const stream = await openLiveCall(context, target, { kind: "port", port: params.port });
    if (isRefusal(stream)) return stream;
    const opened = await stream.opened;
    if (!opened.ok) return liveRefusal(opened);
    return (socket) => joinSocket(socket, stream, () => keepMount(context, params.id));
  });

  addPreview(app, { context, onFault });
}

const keepEveryMs = 30_000;
const bufferedBytesMax = 1024 * 1024;

/** Both directions until both have ended. A half that ends is an empty binary message, because a WebSocket has no such thing. */
async function joinSocket(socket: WebSocket, stream: LiveStream, keep: () => Promise<unknown>): Promise<void> {
  const keeping = setInterval(() => void keep().catch(() => undefined), keepEveryMs).unref();
  await new Promise<void>((resolve) => {
    socket.on("message", (data: Buffer, isBinary: boolean) => {
      if (!isBinary) return;
      if (data.length === 0) stream.end();
      else if (!stream.writableEnded && !stream.write(data)) {
        socket.pause();
        stream.once("drain", () => socket.resume());
      }
    });
    stream.on("data", (data: Buffer) => {
      socket.send(data, () => {
        if (stream.isPaused() && socket.bufferedAmount < bufferedBytesMax) stream.resume();
      });
      if (socket.bufferedAmount > bufferedBytesMax) stream.pause();
    });
    stream.on("end", () => socket.readyState === socket.OPEN && socket.send(Buffer.alloc(0)));
    stream.on("close", () => {
      socket.close(1000, "the connection has ended");
      resolve();
    });
    socket.on("close", () => {
      stream.destroy();
      resolve();
    });
  });
  clearInterval(keeping);
}
