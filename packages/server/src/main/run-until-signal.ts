/** The life of a server process: start, wait for a signal, let go of everything in order. A second signal ends it at once. */
import { ConfigError, describeConfig, readConfig, type Config } from "../config.ts";
import { openTelemetry, type Telemetry } from "../telemetry.ts";

export interface Started {
  address?: string;
  stop(): Promise<void>;
}

/** A parent that dies signals once per thread that carries the death signal: what comes together is one. */
const oneSignalMs = 1_000;

export async function runUntilSignal(name: string, start: (config: Config, telemetry: Telemetry) => Promise<Started>): Promise<void> {
  const config = configOrExit();
  if (process.argv.includes("--print-config")) {
    process.stdout.write(`${describeConfig(config)}\n`);
    return;
  }
  const telemetry = openTelemetry(config);
  const begun = performance.now();
  const started = await start(config, telemetry);
  telemetry.emit("started", {
    process: name,
    ms: Math.round(performance.now() - begun),
    ...(started.address ? { address: started.address } : {}),
  });
  const reason = await new Promise<string>((resolve) => {
    let first: number | undefined;
    const ask = (signal: string) => {
      first ??= performance.now();
      resolve(signal);
      if (performance.now() - first > oneSignalMs) process.exit(1);
    };
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, ask);
  });
  await started.stop();
  telemetry.emit("stopped", { process: name, reason });
}

function configOrExit(): Config {
  try {
    return readConfig(process.env);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`${error.message}\n`);
    return process.exit(2);
  }
}
