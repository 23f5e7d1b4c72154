/** Execs and terminals of one workspace (sdk §9.7). Handles are results with methods, which do not show when they are printed or compared. */
import type { Chunk, Exec, Pty } from "@helmr/protocol/api";
import { DefinitionError } from "../errors.ts";
import { idOf, members } from "./body-members.ts";
import { readableStream, writeBody } from "./byte-stream.ts";
import type {
  WorkspaceExec,
  WorkspaceExecHandle,
  WorkspaceExecsApi,
  WorkspacePty,
  WorkspacePtyApi,
  WorkspacePtyHandle,
} from "./exec-shapes.ts";
import { chunkView, execView, ptyView } from "./exec-views.ts";
import type { RequestOptions } from "./request-options.ts";
import { pause } from "./sse-follow.ts";
import type { Transport } from "./transport.ts";

const pollMsDefault = 250;
const terminalStates: readonly string[] = ["exited", "terminated", "lost", "failed"];

/** `base` is the path of the workspace. */
export function execsApi(transport: Transport, base: string): WorkspaceExecsApi {
  const path = `${base}/execs`;
  return Object.freeze<WorkspaceExecsApi>({
    async create(command, options = {}) {
      if (!Array.isArray(command) || command.length === 0)
        throw new DefinitionError("The command of an exec needs at least the name of a program");
      const { cwd, env, detached, timeoutSeconds, idempotencyKey } = options;
      const body = members({ command, cwd, env, detached, timeout_seconds: timeoutSeconds, idempotency_key: idempotencyKey });
      const { exec } = await transport.json<{ exec: Exec }>({ method: "POST", path, body, options });
      return execHandle(transport, path, execView(exec));
    },
    async retrieve(execId, options = {}) {
      return execHandle(transport, path, await retrieveExec(transport, `${path}/${encodeURIComponent(idOf(execId, "an exec"))}`, options));
    },
    async list(options = {}) {
      const query = [
        ["state", options.state],
        ["limit", options.limit],
      ] as const;
      const { execs } = await transport.json<{ execs: Exec[] }>({ method: "GET", path, query, options });
      return execs.map(execView);
    },
  });
}

async function retrieveExec(transport: Transport, path: string, options: RequestOptions): Promise<WorkspaceExec> {
  const { exec } = await transport.json<{ exec: Exec }>({ method: "GET", path, options });
  return execView(exec);
}

function execHandle(transport: Transport, execsPath: string, exec: WorkspaceExec): WorkspaceExecHandle {
  const path = `${execsPath}/${encodeURIComponent(exec.id)}`;
  const methods: Omit<WorkspaceExecHandle, keyof WorkspaceExec> = {
    retrieve: (options = {}) => retrieveExec(transport, path, options),
    async wait(options = {}) {
      for (;;) {
        const current = await retrieveExec(transport, path, options);
        if (terminalStates.includes(current.state)) return current;
        await pause(options.pollIntervalMs ?? pollMsDefault, options.signal);
      }
    },
    async kill(signal, options = {}) {
      const body = members({ signal });
      const answer = await transport.json<{ exec: Exec }>({ method: "POST", path: `${path}/signal`, body, options });
      return execView(answer.exec);
    },
    stdout: readableStream(transport, `${path}/stdout`),
    stderr: readableStream(transport, `${path}/stderr`),
    stdin: {
      async write(data, options) {
        const body = writeBody(data, options);
        return chunkView(await transport.json<Chunk>({ method: "POST", path: `${path}/stdin`, body, options }));
      },
      async close(options = {}) {
        const answer = await transport.json<{ exec: Exec }>({ method: "POST", path: `${path}/stdin/close`, body: {}, options });
        return execView(answer.exec);
      },
    },
  };
  return withMethods(exec, methods);
}

export function ptyApi(transport: Transport, base: string): WorkspacePtyApi {
  const path = `${base}/pty`;
  return Object.freeze<WorkspacePtyApi>({
    async create(options = {}) {
      const { cwd, cols = 0, rows = 0, idempotencyKey } = options;
      const body = members({ cwd, cols, rows, idempotency_key: idempotencyKey });
      const { pty } = await transport.json<{ pty: Pty }>({ method: "POST", path, body, options });
      return ptyHandle(transport, path, ptyView(pty));
    },
    async retrieve(ptyId, options = {}) {
      const { pty } = await transport.json<{ pty: Pty }>({
        method: "GET",
        path: `${path}/${encodeURIComponent(idOf(ptyId, "a terminal"))}`,
        options,
      });
      return ptyHandle(transport, path, ptyView(pty));
    },
    async list(options = {}) {
      const query = [
        ["state", options.state],
        ["limit", options.limit],
      ] as const;
      const { ptys } = await transport.json<{ ptys: Pty[] }>({ method: "GET", path, query, options });
      return ptys.map(ptyView);
    },
  });
}

function ptyHandle(transport: Transport, ptysPath: string, pty: WorkspacePty): WorkspacePtyHandle {
  const path = `${ptysPath}/${encodeURIComponent(pty.id)}`;
  const change = async (verb: "resize" | "close", body: object, options: RequestOptions): Promise<WorkspacePty> => {
    const answer = await transport.json<{ pty: Pty }>({ method: "POST", path: `${path}/${verb}`, body, options });
    return ptyView(answer.pty);
  };
  const methods: Omit<WorkspacePtyHandle, keyof WorkspacePty> = {
    async retrieve(options = {}) {
      const answer = await transport.json<{ pty: Pty }>({ method: "GET", path, options });
      return ptyView(answer.pty);
    },
    output: readableStream(transport, `${path}/output`),
    async input(data, options) {
      const body = writeBody(data, options);
      return chunkView(await transport.json<Chunk>({ method: "POST", path: `${path}/input`, body, options }));
    },
    resize: (cols, rows, options = {}) => change("resize", { cols, rows }, options),
    close: (options = {}) => change("close", {}, options),
  };
  return withMethods(pty, methods);
}

/** Not enumerable: a handle prints and compares like the result it carries. */
export function withMethods<T extends object, M extends object>(result: T, methods: M): T & M {
  for (const [name, value] of Object.entries(methods)) Object.defineProperty(result, name, { value, enumerable: false });
  return result as T & M;
}
