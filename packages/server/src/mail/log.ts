/** Mails as log lines, for a machine without a mail server. The line holds the whole mail: whoever reads the log can log in with its links. */
import type { MailTransport } from "./outbox.ts";

export function logTransport(write: (entry: { to: string; subject: string; text: string }) => void): MailTransport {
  return {
    send: async (mail) => write({ to: mail.to, subject: mail.subject, text: mail.text }),
    close: async () => undefined,
  };
}
