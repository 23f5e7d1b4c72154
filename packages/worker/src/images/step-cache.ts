/** The cache of steps at the control plane, for one build. */
import type { StoredImageStep, WorkerBody } from "@helmr/protocol/worker";
import type { WorkerClient } from "../control/client.ts";
import type { HeldLease } from "../control/held-lease.ts";
import { StepInterrupted } from "./steps/step-machine.ts";

export interface FoundSteps {
  byKey: Map<string, StoredImageStep>;
  /** Inputs of what stood at a place the last time. */
  previous: Map<string, Record<string, string>>;
}

export class StepCache {
  private readonly client: WorkerClient;
  private readonly held: HeldLease;
  private readonly deploymentId: string;

  constructor(parts: { client: WorkerClient; held: HeldLease; deploymentId: string }) {
    this.client = parts.client;
    this.held = parts.held;
    this.deploymentId = parts.deploymentId;
  }

  async find(steps: { key: string; place: string }[]): Promise<FoundSteps> {
    const { found, previous } = await this.call("imageStepsFind", { ...this.held.fenced, steps });
    return {
      byKey: new Map(found.map((step) => [step.key, step])),
      previous: new Map(previous.map(({ place, inputs }) => [place, inputs])),
    };
  }

  async keep(step: Omit<WorkerBody<"imageStepsKeep">, "lease_id" | "fence">): Promise<StoredImageStep> {
    return (await this.call("imageStepsKeep", { ...this.held.fenced, ...step })).step;
  }

  private async call<K extends "imageStepsFind" | "imageStepsKeep">(route: K, body: WorkerBody<K>) {
    const { held } = this;
    const answer = await this.client.call(route, body, { id: this.deploymentId, deadline: held.deadline, signal: held.lost });
    if (answer.kind === "stale") held.lose("stale");
    if (answer.kind !== "ok")
      throw new StepInterrupted(`The cache of image steps could not be asked: ${JSON.stringify(answer).slice(0, 1000)}`);
    return answer.value;
  }
}
