/** Bounds of accounts and logins (http §1.4, §15). Times in milliseconds. */
const second = 1_000;
const minute = 60 * second;
const day = 24 * 60 * minute;

/** Sent when a credential, a role or a membership ended: every process forgets what it remembered of credentials. */
export const credentialsTopic = "credentials";
/** Sent when a project or environment was deleted: its rows wait to be removed. */
export const purgeTopic = "reconcile:purge-environments";

export const accountLimits = {
  loginSessionMs: 30 * day,
  /** A session that is in use is prolonged at most that often: not a write per request. */
  loginSessionRenewMs: 5 * minute,
  /** `last_used_at` of an API key is written at most that often. */
  apiKeyTouchMs: minute,
  magicLinkMs: 15 * minute,
  magicLinksPerWindow: 5,
  magicLinkWindowMs: 15 * minute,
  localLinkMs: day,
  authFlowMs: 10 * minute,
  deviceLoginMs: 10 * minute,
  devicePollMs: 5 * second,
  listMax: 200,
  /** How long ended links, device logins and login sessions are kept, to be able to say what became of them. */
  endedRetentionMs: day,
  rateLimitRetentionMs: day,
  invitationRetentionMs: 90 * day,
} as const;
