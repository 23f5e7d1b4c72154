/** What deploy says while it works: text on stderr, or JSON lines on stdout (cli §5.2). */
import type { Deployment, RunEvent } from "@helmr/protocol/api";
import type { Context } from "../context.ts";
import { versionOrId } from "../commands/deployment/promote.ts";
import { LiveLine } from "../terminal/live-line.ts";

type DeployPhase = "queued" | "deployed" | "promoted";

export interface DeployReport {
  step(text: string): Promise<void>;
  /** For a person who waits; shown nowhere else. */
  progress(text: string): void;
  created(deployment: Deployment): Promise<void>;
  event(event: RunEvent): Promise<void>;
  result(phase: DeployPhase, deployment: Deployment): Promise<void>;
  /** Must be called, whatever happened. */
  end(): Promise<void>;
}

export function jsonReport({ out }: Pick<Context, "out">): DeployReport {
  return {
    step: (step) => out.json({ type: "step", step }),
    progress: () => {},
    created: (deployment) => out.json({ type: "deployment_created", deployment }),
    event: (event) => out.json({ type: "deployment_event", event }),
    result: (phase, deployment) => out.json({ type: "deployment_result", phase, deployment }),
    end: () => Promise.resolve(),
  };
}

export function textReport({ out, err, interactive, colours }: Pick<Context, "out" | "err" | "interactive" | "colours">): DeployReport {
  const live = new LiveLine(err, interactive);
  let step = "";
  return {
    step: async (text) => {
      step = text;
      await live.print(colours.cyan(text));
      live.show(text);
    },
    progress: (text) => live.show(`${step}: ${text}`),
    created: async (deployment) => {
      await live.print(`Deployment ${deployment.id} queued`);
      live.show("Waiting for the build");
    },
    event: (event) => live.print(coloured(event)),
    result: async (_phase, deployment) => {
      await live.end();
      await out.line(versionOrId(deployment));
    },
    end: () => live.end(),
  };

  function coloured(event: RunEvent): string {
    const text = event.message.trim() === "" ? event.kind : event.message;
    if (event.severity === "error") return colours.red(text);
    return event.severity === "warn" ? colours.yellow(text) : colours.dim(text);
  }
}
