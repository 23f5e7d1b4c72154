/**
 * A browser sends our cookies with requests that other sites cause. SameSite=Lax stops most of them; the Origin header, which browsers put on
 * every request that can change something and no page can forge, stops the rest.
 */
import { type Refusal, refusal } from "../../outcome.ts";

const safeMethods = new Set(["GET", "HEAD", "OPTIONS"]);

export function changesState(method: string): boolean {
  return !safeMethods.has(method);
}

/** For requests that act by a cookie: the origin must be there and be ours. */
export function refuseForeignOrigin(origin: string | undefined, allowed: ReadonlySet<string>): Refusal | undefined {
  if (origin !== undefined && allowed.has(origin)) return undefined;
  return refusal(
    403,
    origin === undefined ? "the request has a session cookie but no Origin header" : "requests from this origin are not allowed",
  );
}

/** For requests that set a cookie without having one: programs send no origin, a foreign page cannot leave its own out. */
export function refuseForeignPage(origin: string | undefined, allowed: ReadonlySet<string>): Refusal | undefined {
  return origin === undefined ? undefined : refuseForeignOrigin(origin, allowed);
}
