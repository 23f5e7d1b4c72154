import { describe, expect, test } from "vitest";
import { logTransport } from "./log.ts";
import { type Mail, type MailEvent, type MailTransport, openOutbox } from "./outbox.ts";
import { invitationMail, magicLinkMail } from "./texts.ts";

const mail = (subject: string): Mail => ({ to: "a@example.com", subject, text: "text" });

function open(send: (mail: Mail) => Promise<void>, options: { waitingMax?: number; attemptsMax?: number } = {}) {
  const events: MailEvent[] = [];
  const transport: MailTransport = { send, close: async () => undefined };
  return { events, outbox: openOutbox({ transport, report: (event) => events.push(event), retryMs: 1, ...options }) };
}

describe("the outbox", () => {
  test("sends a few at once, in order, and says what became of them", async () => {
    let active = 0;
    let most = 0;
    const sent: string[] = [];
    const { events, outbox } = open(async ({ subject }) => {
      most = Math.max(most, (active += 1));
      await new Promise((resolve) => setImmediate(resolve));
      active -= 1;
      sent.push(subject);
    });
    for (let count = 0; count < 20; count += 1) outbox.add(mail(`${count}`));
    await outbox.idle();
    expect(sent).toEqual(Array.from({ length: 20 }, (_, index) => `${index}`));
    expect(most).toBe(4);
    expect(events).toHaveLength(20);
    expect(events[0]).toEqual({ kind: "sent", subject: "0", attempts: 1 });
  });

  test("tries again, and gives up after a few times without holding others up", async () => {
    let tries = 0;
    const { events, outbox } = open(async ({ subject }) => {
      if (subject === "never" || (subject === "later" && (tries += 1) < 3)) throw new RangeError("mail server away");
    });
    for (const subject of ["never", "later", "now"]) outbox.add(mail(subject));
    await outbox.idle();
    expect(events).toContainEqual({ kind: "failed", subject: "never", attempts: 4, error: expect.any(RangeError) });
    expect(events).toContainEqual({ kind: "sent", subject: "later", attempts: 3 });
    expect(events[0]).toEqual({ kind: "sent", subject: "now", attempts: 1 });
  });

  test("is bounded: what does not fit is dropped and reported", async () => {
    let letGo: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => (letGo = resolve));
    const { events, outbox } = open(() => gate, { waitingMax: 2 });
    for (let count = 0; count < 7; count += 1) outbox.add(mail(`${count}`));
    expect(events).toEqual([{ kind: "dropped", subject: "6" }]);
    letGo();
    await outbox.idle();
    expect(events).toHaveLength(7);
  });

  test("close() waits for what is on its way, at most so long, and then takes nothing", async () => {
    const { events, outbox } = open(() => new Promise(() => undefined));
    outbox.add(mail("stuck"));
    await outbox.close(5);
    outbox.add(mail("late"));
    expect(events).toEqual([{ kind: "dropped", subject: "late" }]);
  });

  test("close() ends the waiting between attempts", async () => {
    const events: MailEvent[] = [];
    const transport = { send: () => Promise.reject(new RangeError("away")), close: async () => undefined };
    const outbox = openOutbox({ transport, report: (event) => events.push(event), retryMs: 60_000 });
    outbox.add(mail("waiting"));
    await outbox.close(1);
    await outbox.idle();
    expect(events).toMatchObject([{ kind: "failed", attempts: 2 }]);
  });
});

test("the log transport writes the whole mail", async () => {
  const lines: unknown[] = [];
  await logTransport((entry) => lines.push(entry)).send(magicLinkMail({ to: "a@example.com", url: "http://x/?token=t" }));
  expect(lines).toEqual([{ to: "a@example.com", subject: "Log in to Helmr", text: expect.stringContaining("http://x/?token=t\n") }]);
});

test("an organization's name cannot begin a line or header of an invitation", () => {
  const { subject, text } = invitationMail({
    to: "a@example.com",
    url: "http://x/",
    organization: "A\r\nBcc: b@example.com",
    expiresInDays: 1,
  });
  expect(subject).toBe("Invitation to A Bcc: b@example.com on Helmr");
  expect(text).toContain("the organization A Bcc: b@example.com on");
  expect(text).toContain("good for one day and");
});
