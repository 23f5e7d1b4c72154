import { Failure } from "../failure.ts";

/** `KEY=VALUE` flags of environment variables: the value is taken as it is and may be empty. */
export function pairs(texts: readonly string[], flag: string): Record<string, string> {
  return Object.fromEntries(
    texts.map((text) => {
      const at = text.indexOf("=");
      if (at < 1) throw new Failure(`--${flag} must be KEY=VALUE, not ${JSON.stringify(text)}`);
      return [text.slice(0, at), text.slice(at + 1)];
    }),
  );
}
