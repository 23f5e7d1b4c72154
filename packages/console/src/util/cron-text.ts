/** The usual cron lines in words; others are shown as they are. */

const days = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"] as const;

export function cronText(cron: string): string | undefined {
  const [minute = "", hour = "", day = "", month = "", weekday = "", ...rest] = cron.trim().split(/\s+/);
  if (rest.length > 0 || weekday === "" || day !== "*" || month !== "*") return undefined;
  const when = weekday === "*" ? "day" : weekday === "1-5" ? "weekday" : /^[0-6]$/.test(weekday) ? days[Number(weekday)] : undefined;
  if (when === undefined) return undefined;
  const everyMinutes = /^\*\/(\d+)$/.exec(minute)?.[1];
  if (weekday === "*" && hour === "*") {
    if (minute === "*") return "every minute";
    if (everyMinutes) return `every ${everyMinutes} minutes`;
    if (/^\d+$/.test(minute)) return `every hour at :${minute.padStart(2, "0")}`;
  }
  const everyHours = Number(/^\*\/(\d+)$/.exec(hour)?.[1]);
  // Other steps begin anew at midnight, which "every" does not say.
  if (weekday === "*" && /^\d+$/.test(minute) && 24 % everyHours === 0 && everyHours > 1)
    return `every ${everyHours} hours at :${minute.padStart(2, "0")}`;
  if (/^\d+$/.test(minute) && /^\d+$/.test(hour)) return `every ${when} at ${hour.padStart(2, "0")}:${minute.padStart(2, "0")}`;
  return undefined;
}
