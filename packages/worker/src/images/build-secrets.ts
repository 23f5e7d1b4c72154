/** Secrets that a build asks for, by name, once: values stay in the memory of this build. */
import { createMasker, type Masker } from "@helmr/protocol/shared";
import type { WorkerClient } from "../control/client.ts";
import type { HeldLease } from "../control/held-lease.ts";
import { ImageError } from "./image-error.ts";
import { type CredentialsByRegistry, parseCredentials, registrySecret } from "./registry/authorize.ts";
import { StepInterrupted } from "./steps/step-machine.ts";

export class BuildSecrets {
  /** Of everything that was asked for so far. */
  masker: Masker = createMasker([]);
  private readonly client: WorkerClient;
  private readonly held: HeldLease;
  private readonly deploymentId: string;
  private readonly known = new Map<string, { value: string } | { problem: string }>();
  private credentials: Promise<CredentialsByRegistry> | undefined;

  constructor(parts: { client: WorkerClient; held: HeldLease; deploymentId: string }) {
    this.client = parts.client;
    this.held = parts.held;
    this.deploymentId = parts.deploymentId;
  }

  async values(names: readonly string[]): Promise<Map<string, string>> {
    await this.ask(names.filter((name) => !this.known.has(name)));
    const values = new Map<string, string>();
    for (const name of names) {
      const found = this.known.get(name);
      if (found === undefined || "problem" in found)
        throw new ImageError(
          "secret_unavailable",
          `A run step mounts a secret: ${found?.problem ?? `secret "${name}" is unavailable`}. Set it with: helmr secret set ${name}`,
        );
      values.set(name, found.value);
    }
    return values;
  }

  /** None when the environment has no such secret. */
  registryCredentials(): Promise<CredentialsByRegistry> {
    this.credentials ??= (async () => {
      await this.ask([registrySecret]);
      const found = this.known.get(registrySecret);
      if (found === undefined || "problem" in found) return new Map();
      const credentials = parseCredentials(found.value);
      this.masker = createMasker([...this.maskedValues(), ...[...credentials.values()].map(({ password }) => password)]);
      return credentials;
    })();
    return this.credentials;
  }

  private maskedValues(): string[] {
    return [...this.known.values()].flatMap((found) => ("value" in found ? [found.value] : []));
  }

  private async ask(names: readonly string[]): Promise<void> {
    if (names.length === 0) return;
    const { held } = this;
    const answer = await this.client.call(
      "buildSecrets",
      { ...held.fenced, names: [...names] },
      { id: this.deploymentId, deadline: held.deadline, signal: held.lost },
    );
    if (answer.kind === "stale") held.lose("stale");
    if (answer.kind !== "ok") throw new StepInterrupted(`Secrets of the build could not be had: ${answer.kind}`);
    for (const { name, value } of answer.value.values) this.known.set(name, { value });
    for (const { name, message } of answer.value.unavailable) this.known.set(name, { problem: message });
    this.masker = createMasker(this.maskedValues());
  }
}
