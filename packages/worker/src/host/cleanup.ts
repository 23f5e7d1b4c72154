/**
 * What has to be undone, last in, first out. A step that fails does not keep the others from running; failures are reported together. After
 * `run` further steps are undone at once, so that a resource that was acquired too late is not lost.
 */
export type UndoStep = () => Promise<void> | void;

export class CleanupFailed extends AggregateError {
  override name = "CleanupFailed";
}

export class Cleanup {
  private readonly steps: { what: string; undo: UndoStep }[] = [];
  private done = false;

  /** `what` names the resource in an error message. */
  async add(what: string, undo: UndoStep): Promise<void> {
    this.steps.push({ what, undo });
    if (this.done) await this.run();
  }

  /** Idempotent; rejects with CleanupFailed after every step was tried. */
  async run(): Promise<void> {
    this.done = true;
    const errors: Error[] = [];
    for (let step = this.steps.pop(); step !== undefined; step = this.steps.pop()) {
      try {
        await step.undo();
      } catch (cause) {
        errors.push(new CleanupFailed([cause], `Cannot undo: ${step.what}`));
      }
    }
    if (errors.length > 0) throw new CleanupFailed(errors, errors.map((error) => error.message).join("; "));
  }
}
