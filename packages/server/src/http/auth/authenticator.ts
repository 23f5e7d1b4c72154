/** What the route layer needs of authentication; implemented by `authenticate.ts` on the store. */
import type { Refusal } from "../../outcome.ts";
import type { Actor, Scope } from "./actor.ts";

export interface Credentials {
  authorization: string | undefined;
  cookie: string | undefined;
  method: string;
  origin: string | undefined;
  /** Called with a Set-Cookie value when the session of the cookie was prolonged. */
  setCookie?: (cookie: string) => void;
}

export interface Authenticator {
  /** `anonymous` when there is no credential; a refusal when there is one that is wrong, expired or cannot be checked. */
  authenticate(credentials: Credentials): Promise<Actor | Refusal>;
  /** Project and environment of a prefixed path (UUID or slug each) in the user's organization; a refusal (404) for anything foreign. */
  resolveScope(actor: Extract<Actor, { kind: "user" }>, project: string, environment: string): Promise<Scope | Refusal>;
}
