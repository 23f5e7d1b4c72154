/**
 * `@helmr/sdk/runtime`: what the guest's program and the build indexer need, and nothing that a task author imports.
 *
 * Program (runs a task):
 *   1. import the compiled module of `run.start`
 *   2. `executeTask({ value: module[exportName], payload, runtime })` installs the runtime, checks the payload, builds the context,
 *      calls `run` and gives the output back as JSON text (absent for `undefined`); what it rejects with is what the task threw
 *
 * Build (indexes a project):
 *   1. `const discovery = startDiscovery()` before any user module is loaded
 *   2. import helmr.config.ts, `readConfig(module.default)`; find and import the task modules (sdk §5)
 *   3. `indexProject({ modules, discovery })` gives the declarations of packages/protocol/src/guest/build-result.ts, or a failure
 *      with its kind
 */
export * from "./running/port.ts";
