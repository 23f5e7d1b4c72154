/**
 * The worker's channel, a WebSocket. Down it goes what is wanted now (directives), at once; losing it costs latency, because every directive comes again
 * with the next renewal. A directive is sent once per connection; a worker that reconnects gets what is wanted now. Beside them it carries the live path
 * to guests (live-link.ts).
 */
import type { WebSocket } from "@fastify/websocket";
import { channelPath, type ChannelMessage } from "@helmr/protocol/worker";
import type { FastifyInstance } from "fastify";
import type { EngineContext } from "../../engine-context.ts";
import { followDirectives, readPush } from "../../operations/worker-directives.ts";
import { isRefusal } from "../../outcome.ts";
import type { WorkerActor } from "../../worker-actor.ts";
import { sendRefusal } from "../errors.ts";
import { openLiveConnection } from "./live-link.ts";
import { workerPrefix, type WorkerRoutes } from "./worker-route.ts";

const pingMs = 20_000;
/** A worker that does not read is cut off; it reconnects and asks again. */
const bufferedBytesMax = 4 * 1024 * 1024;

export function addChannel(app: FastifyInstance, routes: WorkerRoutes, context: EngineContext, onFault: (error: unknown) => void): void {
  const actors = new WeakMap<object, WorkerActor>();
  app.route({
    method: "GET",
    url: workerPrefix + channelPath,
    preValidation: async (request, reply) => {
      const worker = await routes.authenticate(request);
      if (isRefusal(worker)) return sendRefusal(reply, worker);
      actors.set(request, worker);
      return undefined;
    },
    handler: (_request, reply) => reply.code(426).header("upgrade", "websocket").send(),
    wsHandler: (socket, request) => {
      const worker = actors.get(request);
      if (worker) serve(socket, { context, worker, onFault });
      else socket.close(1008, "a worker credential is required");
    },
  });
}

function serve(
  socket: WebSocket,
  { context, worker, onFault }: { context: EngineContext; worker: WorkerActor; onFault: (error: unknown) => void },
): void {
  const sent = new Set<string>();
  let looking = false;
  let again = false;
  let answered = true;
  const send = (message: ChannelMessage) => {
    if (socket.readyState !== socket.OPEN) return;
    if (socket.bufferedAmount > bufferedBytesMax) return socket.terminate();
    socket.send(JSON.stringify(message));
  };

  async function look(): Promise<void> {
    again = true;
    if (looking) return;
    looking = true;
    try {
      while (again && socket.readyState === socket.OPEN) {
        again = false;
        const { directives, drain } = await readPush(context, worker);
        for (const directive of directives) {
          const text = JSON.stringify(directive);
          if (!sent.has(text)) send({ type: "directive", directive });
          sent.add(text);
        }
        if (drain) send({ type: "drain" });
      }
    } catch (error) {
      onFault(error);
      socket.close(1011, "look again later");
    } finally {
      looking = false;
    }
  }

  const live = openLiveConnection(socket, { context, worker, send, onFault });
  const unregister = context.live.register(worker.workerId, live.link);
  const unsubscribe = followDirectives(context, worker, () => void look());
  const pings = setInterval(() => {
    if (!answered) return socket.terminate();
    answered = false;
    sent.clear();
    socket.ping();
  }, pingMs).unref();
  socket.on("pong", () => (answered = true));
  socket.on("message", (data: Buffer, isBinary: boolean) => live.received(data, isBinary));
  socket.on("error", () => undefined);
  socket.on("close", () => {
    clearInterval(pings);
    unsubscribe();
    unregister();
    live.close();
  });
  send({ type: "ready" });
  void look();
}
