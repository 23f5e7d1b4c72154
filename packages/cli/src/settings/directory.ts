/** Where configuration and credentials live (cli §3). */
import path from "node:path";
import { type Host, environmentValue } from "../host.ts";

export function configDirectory(host: Host): string {
  const own = environmentValue(host, "HELMR_CONFIG_DIR");
  if (own !== "") return path.resolve(host.cwd, own);
  const xdg = environmentValue(host, "XDG_CONFIG_HOME");
  if (xdg !== "") return path.resolve(host.cwd, xdg, "helmr");
  if (host.platform === "win32") {
    const appData = environmentValue(host, "AppData") || environmentValue(host, "APPDATA");
    if (appData !== "") return path.join(appData, "helmr");
  }
  return path.join(host.homeDirectory, ".config", "helmr");
}
