/** The worker API as data: what is served below /api/worker and what the worker's client calls. */
import * as z from "zod";
import { grantRequest, grantResponse } from "./blobs.ts";
import { buildCompleteRequest, buildCompleteResponse, buildReportRequest, buildReportResponse } from "./builds.ts";
import {
  buildSecretsRequest,
  buildSecretsResponse,
  imageStepsFindRequest,
  imageStepsFindResponse,
  imageStepsKeepRequest,
  imageStepsKeepResponse,
} from "./image-steps.ts";
import {
  claimRequest,
  claimResponse,
  drainRequest,
  drainResponse,
  enrollRequest,
  enrollResponse,
  renewRequest,
  renewResponse,
  startRequest,
  startResponse,
} from "./leases.ts";
import {
  mountCapturedRequest,
  mountCapturedResponse,
  mountEndedRequest,
  mountEndedResponse,
  mountReadyRequest,
  mountReadyResponse,
} from "./mounts.ts";
import {
  attemptStartedRequest,
  attemptStartedResponse,
  completeRequest,
  completeResponse,
  parkRequest,
  parkResponse,
  programCallRequest,
  programCallResponse,
  reportRequest,
  reportResponse,
  restoreFailedRequest,
  restoreFailedResponse,
  resumedRequest,
} from "./runs.ts";

const route = <B extends z.ZodType, R extends z.ZodType>(path: string, body: B, response: R) => ({
  method: "POST" as const,
  path,
  body,
  response,
});
const done = z.object({});

export const workerRoutes = {
  enroll: route("/enroll", enrollRequest, enrollResponse),
  start: route("/start", startRequest, startResponse),
  drain: route("/drain", drainRequest, drainResponse),
  claim: route("/claim", claimRequest, claimResponse),
  renew: route("/renew", renewRequest, renewResponse),
  grants: route("/grants", grantRequest, grantResponse),
  attemptStarted: route("/runs/{id}/attempt-started", attemptStartedRequest, attemptStartedResponse),
  report: route("/runs/{id}/report", reportRequest, reportResponse),
  call: route("/runs/{id}/call", programCallRequest, programCallResponse),
  complete: route("/runs/{id}/complete", completeRequest, completeResponse),
  park: route("/runs/{id}/park", parkRequest, parkResponse),
  resumed: route("/runs/{id}/resumed", resumedRequest, done),
  restoreFailed: route("/runs/{id}/restore-failed", restoreFailedRequest, restoreFailedResponse),
  mountReady: route("/mounts/{id}/ready", mountReadyRequest, mountReadyResponse),
  mountCaptured: route("/mounts/{id}/captured", mountCapturedRequest, mountCapturedResponse),
  mountEnded: route("/mounts/{id}/ended", mountEndedRequest, mountEndedResponse),
  buildReport: route("/builds/{id}/report", buildReportRequest, buildReportResponse),
  buildComplete: route("/builds/{id}/complete", buildCompleteRequest, buildCompleteResponse),
  buildSecrets: route("/builds/{id}/secrets", buildSecretsRequest, buildSecretsResponse),
  imageStepsFind: route("/builds/{id}/image-steps/find", imageStepsFindRequest, imageStepsFindResponse),
  imageStepsKeep: route("/builds/{id}/image-steps/keep", imageStepsKeepRequest, imageStepsKeepResponse),
} as const;

/** GET, raw bytes: the source archive of a deployment, for the holder of its build lease (query lease_id, fence). */
export const sourcePath = "/builds/{id}/source";
/** GET, WebSocket upgrade. */
export const channelPath = "/channel";

export type WorkerRoute = keyof typeof workerRoutes;
export type WorkerBody<K extends WorkerRoute> = z.input<(typeof workerRoutes)[K]["body"]>;
export type WorkerResponse<K extends WorkerRoute> = z.output<(typeof workerRoutes)[K]["response"]>;
