/** The life of a server process: start, wait for a signal, let go of everything in order. A second signal ends it at once. */
import { ConfigError, describeConfig, readConfig, type Config } from "../config.ts";
import { openTelemetry, type Telemetry } from "../telemetry.ts";

export interface Started {
  address?: string;
  stop(): Promise<void>;
}

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
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => resolve(signal));
  });
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => process.exit(1));
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
