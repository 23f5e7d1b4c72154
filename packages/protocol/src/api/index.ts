/** The public API. How schemas, types and tables are named is at the top of `endpoint.ts`. */

export * from "./api-keys.ts";
export * from "./auth.ts";
export * from "./byte-streams.ts";
export * from "./deployments.ts";
export * from "./endpoint.ts";
export * from "./execs.ts";
export { type AuthFlowErrorBody, type ErrorBody, authFlowErrorBody, authFlowErrorKinds, errorBody } from "./fields.ts";
export * from "./files.ts";
export * from "./live-files.ts";
export * from "./members.ts";
export * from "./paths.ts";
export * from "./projects.ts";
export * from "./ports.ts";
export * from "./ptys.ts";
export * from "./public-access-tokens.ts";
export * from "./run-events.ts";
export * from "./runs.ts";
export * from "./schedules.ts";
export * from "./secrets.ts";
export * from "./sessions.ts";
export * from "./sse.ts";
export * from "./streams.ts";
export * from "./table.ts";
export * from "./tokens.ts";
export * from "./version-changes.ts";
export * from "./workspaces.ts";
