/**
 * Capture of a live workspace of 1 GiB after 1 % of it was written again, beside a program that goes on writing: how long what writes had to wait, what was
 * uploaded, how long the request took. Random bytes, so that nothing compresses. Arguments: MiB in the workspace, number of captures.
 */
import { HelmrClient, type WorkspaceHandle } from "@helmr/sdk";
import { benchInstall } from "./local-bench.ts";
import { type Benchmark, quantile, type Series } from "./measure.ts";

const MiB = 1024 * 1024;

async function ended(workspace: WorkspaceHandle, script: string): Promise<void> {
  const exec = await workspace.exec(["sh", "-ec", script]);
  const { exitCode } = await exec.wait();
  if (exitCode !== 0) throw new Error(`${script} ended with ${exitCode}`);
}

export const benchmark: Benchmark = {
  measures: "capture of a live workspace of 1 GiB after 1 % of it was written again, beside a program that goes on writing",
  async run(args) {
    const sizeMib = Number(args[0] ?? 1024);
    const rounds = Number(args[1] ?? 10);
    const changedFiles = Math.max(1, Math.round(sizeMib / 100));
    const bench = await benchInstall();
    try {
      const client = new HelmrClient({ url: bench.ready.api_url, apiKey: bench.ready.api_key });
      const { id } = await client.workspaces.create({ sandboxId: "default" });
      const workspace = client.workspaces.open(id);
      await ended(workspace, `mkdir -p d; for i in $(seq 0 ${sizeMib - 1}); do head -c ${MiB} /dev/urandom > d/f$i; done`);
      const first = await workspace.versions.capture();
      const writer = await workspace.exec(["sh", "-c", "while true; do echo tick >> log; done"]);
      const [pauses, totals, uploads]: [number[], number[], number[]] = [[], [], []];
      for (let round = 0; round < rounds; round += 1) {
        const from = (round * changedFiles) % Math.max(1, sizeMib - changedFiles);
        await ended(workspace, `for i in $(seq ${from} ${from + changedFiles - 1}); do head -c ${MiB} /dev/urandom > d/f$i; done`);
        const begun = performance.now();
        const { pauseMs, storedBytes } = await workspace.versions.capture();
        totals.push(performance.now() - begun);
        pauses.push(pauseMs ?? Number.NaN);
        uploads.push((storedBytes ?? Number.NaN) / MiB);
      }
      await writer.kill("KILL");
      await workspace.stop();
      return series({ first: (first.storedBytes ?? 0) / MiB, pauses, totals, uploads, changedMib: changedFiles });
    } finally {
      await bench.close();
    }
  },
};

interface Taken {
  first: number;
  pauses: number[];
  totals: number[];
  uploads: number[];
  changedMib: number;
}

function series({ first, pauses, totals, uploads, changedMib }: Taken): Series[] {
  return [
    { name: "workspace-capture-pause", unit: "ms", samples: pauses, target: "p50 ≤ 100 ms", met: quantile(pauses, 0.5) <= 100 },
    {
      name: "workspace-capture-live-uploaded",
      unit: "MiB",
      samples: uploads,
      target: `≤ 2 × the ${changedMib} MiB that changed`,
      met: Math.max(...uploads) <= 2 * changedMib,
    },
    { name: "workspace-capture-total", unit: "ms", samples: totals },
    { name: "workspace-capture-live-first", unit: "MiB", samples: [first] },
  ];
}
