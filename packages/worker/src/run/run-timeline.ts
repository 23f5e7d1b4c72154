/** When a run passed which point, in milliseconds since its lease was received: what `run.timeline` says at its end. */
export const timelinePoints = [
  "prepared",
  "machine_started",
  "attached",
  "attempt_started",
  "run_started",
  "program_started",
  "first_output",
  "ended",
  "quiet",
  "captured",
  "completed",
] as const;
export type TimelinePoint = (typeof timelinePoints)[number];

export class RunTimeline {
  private readonly since = performance.now();
  private readonly points: Partial<Record<TimelinePoint, number>> = {};

  /** The first time counts. */
  mark(point: TimelinePoint): void {
    this.points[point] ??= Math.round((performance.now() - this.since) * 10) / 10;
  }

  get passed(): Partial<Record<TimelinePoint, number>> {
    return { ...this.points };
  }

  get ms(): number {
    return Math.round(performance.now() - this.since);
  }
}
