/** What others may use of the server: processes are started by their files in main/; tests put the same parts together in their own process. */
export { type Config, ConfigError, readConfig, type Setting, settings } from "./config.ts";
export { type EngineContext, type EngineHooks, noHooks, topic } from "./engine-context.ts";
export { openParts, type Parts, serveFront, type ServedFront, startDispatcher, type WireOptions } from "./main/wire.ts";
export { newEnrollmentSecret } from "./operations/enroll-worker.ts";
export { ensureLocalInstall, type LocalInstall } from "./operations/ensure-local-install.ts";
export { migrate } from "./store/migrate.ts";
export { type Telemetry, type TelemetryEvents, telemetryTo } from "./telemetry.ts";
