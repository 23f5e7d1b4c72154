/**
 * Messages between the worker (host) and the supervisor (guest), protocol version 1. Each family has a file with its exchange as
 * numbered steps: handshake, run, program-calls, processes, files, checkpoint, build, byte-streams.
 *
 * A request carries `id`; its answer is `ok` or `error` with the same id. Requests are taken in order; file operations, connections and
 * builds are answered when they are done, the others before the next one is looked at. Everything else is a notification.
 *
 * Fatal for the connection: a frame that does not parse, a message that does not validate, bytes beyond a gap, a `hello` with another
 * protocol number. Retryable: an `error` answer whose `retryable` is true. What the guest sends is validated with these schemas by the
 * worker; the guest trusts the host.
 */
import * as z from "zod";
import { buildPhase, buildStartRequest } from "./build.ts";
import { streamAck, streamEnd, streamStop } from "./byte-streams.ts";
import { parkAbortRequest, parkPrepareRequest, syncRequest, thawRequest } from "./checkpoint.ts";
import { fileRequest, portOpenRequest } from "./files.ts";
import {
  attachRequest,
  errorMessage,
  fencedMessage,
  helloMessage,
  leaseExtend,
  okMessage,
  pingRequest,
  rehearseRequest,
  usageRequest,
} from "./handshake.ts";
import { imageStepRequest } from "./image-step.ts";
import { processEnded, processForget, processResize, processSignal, processStart } from "./processes.ts";
import { programAnswer, programCall } from "./program-calls.ts";
import { runCancelRequest, runEnded, runStarted, runStartRequest } from "./run.ts";

export const hostMessage = z.discriminatedUnion("type", [
  attachRequest,
  leaseExtend,
  pingRequest,
  rehearseRequest,
  usageRequest,
  runStartRequest,
  runCancelRequest,
  programAnswer,
  syncRequest,
  thawRequest,
  parkPrepareRequest,
  parkAbortRequest,
  buildStartRequest,
  imageStepRequest,
  processStart,
  processSignal,
  processResize,
  processForget,
  fileRequest,
  portOpenRequest,
  streamEnd,
  streamAck,
  streamStop,
]);
export type HostMessage = z.output<typeof hostMessage>;

export const guestMessage = z.discriminatedUnion("type", [
  helloMessage,
  okMessage,
  errorMessage,
  fencedMessage,
  runStarted,
  runEnded,
  programCall,
  processEnded,
  buildPhase,
  streamEnd,
  streamAck,
  streamStop,
]);
export type GuestMessage = z.output<typeof guestMessage>;
