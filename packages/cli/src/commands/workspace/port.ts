import { argument, environmentCommand, jsonFlag, text } from "../../command.ts";
import { Failure } from "../../failure.ts";
import { forwardPort } from "../../follow/port-forward.ts";
import { exampleWorkspace } from "./lines.ts";

const portNumber = (given: string, name: string): number => {
  const port = Number(given);
  if (!/^\d+$/.test(given) || port > 65_535) throw new Failure(`${name} must be a port number, not "${given}"`);
  return port;
};

export const workspacePort = environmentCommand({
  name: "workspace port",
  summary: "forward a port of a workspace to this machine",
  details:
    "Listens on 127.0.0.1 until it is interrupted; every connection goes to that port in the workspace's machine. " +
    "The workspace must be mounted. With --preview it prints a URL of the server instead, for a browser anywhere.",
  examples: [
    { says: "a dev server, on the same port here", command: `helmr workspace port ${exampleWorkspace} 5173` },
    { says: "on another one", command: `helmr workspace port ${exampleWorkspace} 5173 --local 8080` },
  ],
  args: { workspace: argument("WORKSPACE", "id of the workspace"), port: argument("PORT", "port in the workspace's machine") },
  flags: {
    ...jsonFlag,
    local: text("PORT", "local port; the same without it, 0 for any"),
    preview: text("DUR", "print a preview URL that is valid for so long"),
  },
  async run(context) {
    const { args, flags, out } = context;
    const port = portNumber(args.port, "PORT");
    const api = await context.environment();
    const params = { id: args.workspace, port: String(port) };
    if (flags.preview !== undefined) {
      const ttl = /^(\d+)(s|m|h|d)$/.exec(flags.preview);
      if (!ttl) throw new Failure(`--preview must be a duration such as 1h, not "${flags.preview}"`);
      const seconds = Number(ttl[1]) * { s: 1, m: 60, h: 3_600, d: 86_400 }[ttl[2] as "s" | "m" | "h" | "d"];
      const preview = await api.call("ports.preview", { params, body: { ttl_seconds: seconds } });
      return flags.json ? out.json(preview) : out.line(preview.url);
    }
    // Asked once before anybody connects, so that a wrong id is said at once.
    await api.call("workspaces.get", { params: { id: args.workspace } });
    const { port: local, closed } = await forwardPort({
      remote: () => api.socket("ports.connect", { params }),
      host: "127.0.0.1",
      port: flags.local === undefined ? port : portNumber(flags.local, "--local"),
      onRefused: (message) => void context.err.line(message),
      signal: context.signal,
    });
    await (flags.json ? out.json({ port, local_port: local }) : out.line(`http://127.0.0.1:${local} -> ${args.workspace}:${port}`));
    await closed;
    return undefined;
  },
});
