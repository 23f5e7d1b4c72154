/** Accounts as a process has them: settings from the configuration, mails over SMTP or into the log, the authenticator. */
import type { AccountContext } from "../account-context.ts";
import { accountSettings } from "../account-settings.ts";
import type { Config } from "../config.ts";
import { openAuthenticator } from "../http/auth/authenticate.ts";
import type { Authenticator } from "../http/auth/authenticator.ts";
import { logTransport } from "../mail/log.ts";
import { type Mail, type MailEvent, openOutbox } from "../mail/outbox.ts";
import { smtpTransport } from "../mail/smtp.ts";

export interface AccountsOptions extends Pick<AccountContext, "db" | "hints" | "keys"> {
  config: Config;
  /** What became of a mail; without SMTP also the mail itself, which the log has to show: its links are the only way in. */
  report: (event: MailEvent | ({ kind: "mail" } & Mail)) => void;
}

export interface OpenedAccounts {
  context: AccountContext;
  authenticator: Authenticator;
  /** Lets mails that are on their way leave. */
  close(timeoutMs: number): Promise<void>;
}

export function openAccounts({ config, db, hints, keys, report }: AccountsOptions): OpenedAccounts {
  const smtp = config.smtpUrl !== "";
  const transport = smtp
    ? smtpTransport({ url: config.smtpUrl, from: config.mailFrom })
    : logTransport((mail) => report({ kind: "mail", ...mail }));
  const outbox = openOutbox({ transport, report });
  const context: AccountContext = { db, hints, keys, outbox, settings: accountSettings(config) };
  const authenticator = openAuthenticator(context);
  return {
    context,
    authenticator,
    async close(timeoutMs) {
      authenticator.close();
      await outbox.close(timeoutMs);
    },
  };
}
