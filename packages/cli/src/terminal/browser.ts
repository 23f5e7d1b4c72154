/** Opens a page in the user's browser. A browser that cannot be opened is only a note: the address was printed. */
import { spawn } from "node:child_process";
import { reasonOf } from "../failure.ts";
import type { Host } from "../host.ts";

const openers: Partial<Record<NodeJS.Platform, readonly [string, ...string[]]>> = {
  darwin: ["open"],
  win32: ["rundll32", "url.dll,FileProtocolHandler"],
};

/** Calls `failed` with the reason, at most once, possibly much later. Does not wait for the browser. */
export function openBrowser(host: Host, url: string, failed: (reason: string) => void): void {
  // What a server says is opened only when it is a page.
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) return failed(`${url} is not a web address`);
  const [command, ...args] = openers[host.platform] ?? ["xdg-open"];
  const child = spawn(command, [...args, url], { stdio: "ignore", detached: true, env: host.env });
  child.once("error", (error) => failed(reasonOf(error)));
  child.once("exit", (code) => {
    if (code !== null && code !== 0) failed(`${command} exited with status ${code}`);
  });
  child.unref();
}
