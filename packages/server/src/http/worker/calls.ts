/** Calls of a program that the holder of its run relays (protocol/worker/runs.ts). */
import type { EngineContext } from "../../engine-context.ts";
import { answerProgramCall } from "../../operations/answer-program-call.ts";
import { isStale } from "../../worker-actor.ts";
import { createdTokenView } from "../api/token-view.ts";
import { runCall } from "./runs.ts";
import type { WorkerRoutes } from "./worker-route.ts";

export function addCallRoute(routes: WorkerRoutes, context: EngineContext, { publicUrl }: { publicUrl: string }): void {
  routes.add("call", async ({ worker, id, body }) => {
    const answer = await answerProgramCall(context, runCall(worker, id, body), { callId: body.call_id, call: body.call });
    if (isStale(answer)) return answer;
    switch (answer.state) {
      case "token":
        return { state: "answered", value: createdTokenView({ keys: context.keys, publicUrl }, answer.token) };
      case "waiting":
        return { state: "waiting", wait_id: answer.waitId, ...(answer.liveMs === undefined ? {} : { live_ms: answer.liveMs }) };
      default:
        return answer;
    }
  });
}
