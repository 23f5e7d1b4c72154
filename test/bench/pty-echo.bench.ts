/**
 * A keystroke → its echo on the screen, through API and guest: over the WebSocket that a browser uses, and over the HTTP routes that the command line
 * uses. The echo is the terminal's own (the program reads, the kernel of the guest echoes).
 */
import { HelmrClient } from "@helmr/sdk";
import { benchInstall } from "./local-bench.ts";
import { type Benchmark, quantile, type Series } from "./measure.ts";

const letters = "abcdefghijklmnopqrstuvwxyz";

export const benchmark: Benchmark = {
  measures: "keystroke → echo, 50 ms apart, through the control plane, the worker and the guest's terminal",
  async run(args) {
    const count = Number(args[0] ?? 200);
    const bench = await benchInstall();
    try {
      const { api_url: url, api_key: apiKey } = bench.ready;
      const { workspaces } = new HelmrClient({ url, apiKey });
      const { id } = await workspaces.create({ sandboxId: "default" });
      const workspace = workspaces.open(id);
      const samples: Record<"socket" | "http", number[]> = { socket: [], http: [] };
      const pty = await workspace.pty.create({ cols: 80, rows: 24 });
      const socket = new WebSocket(`${url.replace("http", "ws")}/api/workspaces/${id}/pty/${pty.id}/attach`, {
        headers: { authorization: `Bearer ${apiKey}` },
      } as unknown as string[]);
      socket.binaryType = "arraybuffer";
      let seen = "";
      let wake = () => {};
      socket.addEventListener("message", ({ data }: MessageEvent<unknown>) => {
        if (!(data instanceof ArrayBuffer)) return;
        seen += Buffer.from(data).toString("latin1");
        wake();
      });
      const shows = async (what: string) => {
        while (!seen.includes(what)) {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      };
      await new Promise((resolve) => {
        socket.addEventListener("open", resolve);
      });
      socket.send(Buffer.from("echo re'ad'y; cat > /dev/null\n"));
      await shows("ready\r\n");
      let offset = (await pty.retrieve()).inputCursor;
      for (let at = 0; at < count * 2; at += 1) {
        const letter = letters[at % letters.length] as string;
        const by = at % 2 === 0 ? "socket" : "http";
        seen = "";
        const began = performance.now();
        if (by === "socket") socket.send(Buffer.from(letter));
        else await pty.input(letter, { offset });
        offset += 1;
        await shows(letter);
        samples[by].push(performance.now() - began);
        await new Promise((resolve) => {
          setTimeout(resolve, 50);
        });
      }
      socket.close();
      await pty.close();
      await workspace.stop();
      const series = (name: string, taken: number[]): Series => {
        const steady = taken.slice(5);
        const met = quantile(steady, 0.5) <= 20 && quantile(steady, 0.95) <= 60;
        return { name, unit: "ms", samples: steady, target: "p50 ≤ 20 ms, p95 ≤ 60 ms", met };
      };
      return [series("pty-echo", samples.socket), series("pty-echo-http", samples.http)];
    } finally {
      await bench.close();
    }
  },
};
