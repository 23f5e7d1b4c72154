import { useNow } from "../hooks/use-now.ts";
import { durationText, exactTime, relativeTime } from "../util/time.ts";

export function RelativeTime({ at }: { at: string | null | undefined }) {
  const now = useNow();
  if (at === undefined || at === null) return <span className="text-faint">never</span>;
  const time = Date.parse(at);
  return (
    <time dateTime={at} data-tip={exactTime(time)} className="relative z-10 whitespace-nowrap">
      {relativeTime(time, now)}
    </time>
  );
}

/** Counts on while there is no end. */
export function Duration({ from, to }: { from: string; to?: string | null | undefined }) {
  const open = to === undefined || to === null;
  const now = useNow(open ? "fast" : "still");
  return <span className="whitespace-nowrap tabular-nums">{durationText((open ? now : Date.parse(to)) - Date.parse(from))}</span>;
}
