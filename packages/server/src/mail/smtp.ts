/** Mails over SMTP. One connection is kept for a few mails; every step of the conversation has a time limit. */
import { createTransport } from "nodemailer";
import type { MailTransport } from "./outbox.ts";

const timeoutMs = 20_000;

/** `url` as `smtp://user:password@host:587` (STARTTLS when the server offers it) or `smtps://…:465`. */
export function smtpTransport({ url, from }: { url: string; from: string }): MailTransport {
  const transport = createTransport(
    {
      url,
      pool: true,
      maxConnections: 2,
      connectionTimeout: timeoutMs,
      greetingTimeout: timeoutMs,
      socketTimeout: timeoutMs,
      dnsTimeout: timeoutMs,
    },
    { from },
  );
  return {
    async send(mail) {
      await transport.sendMail({ to: { name: "", address: mail.to }, subject: mail.subject, text: mail.text });
    },
    async close() {
      transport.close();
    },
  };
}
