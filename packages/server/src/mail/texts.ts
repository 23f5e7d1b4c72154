/** What mails say. Plain text: every client shows it, and a link in it is what it looks like. */
import type { Mail } from "./outbox.ts";

export function magicLinkMail({ to, url }: { to: string; url: string }): Mail {
  return {
    to,
    subject: "Log in to Helmr",
    text: [
      "Open this link to log in to Helmr:",
      "",
      url,
      "",
      "It works once, within 15 minutes. If you did not ask for it, ignore this mail; nobody can log in without the link.",
      "",
    ].join("\n"),
  };
}

export interface InvitationText {
  to: string;
  url: string;
  organization: string;
  expiresInDays: number;
}

export function invitationMail({ to, url, organization, expiresInDays }: InvitationText): Mail {
  // A name is what somebody typed: it must not begin another header or line.
  const name = organization.replace(/\s+/g, " ");
  return {
    to,
    subject: `Invitation to ${name} on Helmr`,
    text: [
      `You are invited to the organization ${name} on Helmr. Open this link to accept:`,
      "",
      url,
      "",
      `It is good for ${expiresInDays === 1 ? "one day" : `${expiresInDays} days`} and for this address only.`,
      "",
    ].join("\n"),
  };
}
