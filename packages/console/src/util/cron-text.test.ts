import { expect, test } from "vitest";
import { cronText } from "./cron-text.ts";

test.each([
  ["* * * * *", "every minute"],
  ["*/15 * * * *", "every 15 minutes"],
  ["5 * * * *", "every hour at :05"],
  ["0 9 * * 1-5", "every weekday at 09:00"],
  ["30 18 * * *", "every day at 18:30"],
  ["0 8 * * 1", "every Monday at 08:00"],
  ["0 */4 * * *", "every 4 hours at :00"],
  ["0 */5 * * *", undefined],
  ["0 0 1 * *", undefined],
  ["0 9-17 * * *", undefined],
  ["@daily", undefined],
])("cronText(%j) is %j", (cron, text) => expect(cronText(cron)).toBe(text));
