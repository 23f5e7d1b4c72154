import { pause } from "../clock.ts";
import { command, optionalArgument, toggle } from "../command.ts";
import type { Context } from "../context.ts";
import type { DeviceToken } from "@helmr/protocol/api";
import { Failure, HttpFailure } from "../failure.ts";
import { ApiClient } from "../http/api-client.ts";
import { accessTexts, chosenUrl } from "../settings/access.ts";
import { baseUrl } from "../settings/api-url.ts";
import { writeDefaultHost } from "../settings/config-file.ts";
import { saveToken } from "../settings/credential-store.ts";
import { localInstallUrl } from "../settings/local-install.ts";
import { openBrowser } from "../terminal/browser.ts";

const intervalSecondsDefault = 5;
const lifetimeSecondsDefault = 600;

export const login = command({
  name: "login",
  summary: "log in through the browser and save the login",
  details: "The host is URL, else --api-url, HELMR_API_URL, the host of the last login, or the install on this machine.",
  examples: [
    { says: "for the first time", command: "helmr login https://helmr.example.com" },
    { says: "on a machine without a browser", command: "helmr login https://helmr.example.com --no-browser" },
  ],
  needs: "nothing",
  args: { url: optionalArgument("URL", "base URL of the server") },
  flags: { noBrowser: toggle("do not open a browser") },
  async run(context) {
    const { out } = context;
    const url = await loginUrl(context, context.args.url);
    const api = new ApiClient({ baseUrl: url, credential: { kind: "none" }, signal: context.signal });
    const device = await api.call("auth.deviceStart");
    const page = device.verification_uri_complete || device.verification_uri;
    await out.lines([`Visit ${page}`, `Code: ${device.user_code}`]);
    if (!context.flags.noBrowser) {
      openBrowser(context.host, page, (reason) => void context.err.line(`the browser did not open: ${reason}; visit the address above`));
    }
    await out.line("Waiting for authorization...");
    const token = await authorized(api, device, context.signal);
    await saveToken(context.host, url, token);
    await writeDefaultHost(context.host, url);
    await out.line(`Logged in to ${url}`);
  },
});

/** The argument excludes --api-url: two hosts would be meant. */
export function argumentUrl(argument: string | undefined, apiUrlFlag: string | undefined): string | undefined {
  if (argument === undefined || argument.trim() === "") return undefined;
  if (apiUrlFlag !== undefined && apiUrlFlag.trim() !== "") throw new Failure("URL and --api-url cannot be used together");
  return baseUrl(argument, "URL");
}

async function loginUrl(context: Pick<Context, "host" | "apiUrlFlag">, argument: string | undefined): Promise<string> {
  const url =
    argumentUrl(argument, context.apiUrlFlag) ??
    (await chosenUrl(context.host, context.apiUrlFlag)) ??
    (await localInstallUrl(context.host));
  if (url === undefined) throw new Failure(`${accessTexts.noUrl} URL`);
  return url;
}

interface Device {
  device_code: string;
  interval_seconds?: number;
  expires_in_seconds?: number;
}

async function authorized(api: ApiClient, device: Device, signal: AbortSignal): Promise<string> {
  const intervalMs = positive(device.interval_seconds, intervalSecondsDefault) * 1_000;
  const until = Date.now() + positive(device.expires_in_seconds, lifetimeSecondsDefault) * 1_000;
  for (;;) {
    // The last look is taken when the time is over, not an interval before.
    await pause(Math.max(0, Math.min(intervalMs, until - Date.now())), signal);
    const token = await exchangedToken(api, device.device_code);
    if (token !== undefined) return token;
    if (Date.now() >= until) throw new Failure("device authorization expired");
  }
}

/** Undefined while nobody has decided. */
async function exchangedToken(api: ApiClient, deviceCode: string): Promise<string | undefined> {
  try {
    const { failure, value } = await api.callWithStatus("auth.deviceToken", { body: { device_code: deviceCode } });
    if (failure === undefined) return (value as DeviceToken).access_token;
    if (failure.reason === "authorization_pending") return undefined;
    throw failure;
  } catch (error) {
    if (!(error instanceof HttpFailure) || error.reason === undefined) throw error;
    throw new Failure(`device authorization failed: ${error.reason}`, { cause: error });
  }
}

function positive(value: number | undefined, fallback: number): number {
  return typeof value === "number" && value > 0 ? value : fallback;
}
