/**
 * The upload of a deployment's source (http §9.1): multipart/form-data with two parts in exactly this order, `metadata` (JSON, at most 1 MiB) and
 * `deployment_source` (a tar). The second part is handed on as a stream while it arrives; nothing is kept in memory. Whatever goes wrong, the rest of the
 * body is read to its end (it is bounded), so that the client gets the answer instead of a broken connection.
 */
import { Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { Busboy } from "@fastify/busboy";
import { deploymentMetadataBody, type DeploymentMetadataBody, deploymentParts } from "@helmr/protocol/api";
import { limits } from "@helmr/protocol/shared";
import type { FastifyRequest } from "fastify";
import { invalid, isRefusal, type Refusal, refusal } from "../../outcome.ts";
import { readBody } from "../route.ts";

export interface Upload {
  metadata: DeploymentMetadataBody;
  source: Readable;
}

export interface Received<T> {
  metadata: DeploymentMetadataBody;
  stored: T;
}

/**
 * Reads the request to its end; `receive` is called once the metadata is valid and the source has begun. Only when the whole body was as it should be is
 * there a result: what is made of it is made afterwards.
 */
export async function receiveUpload<T>(
  request: FastifyRequest,
  receive: (upload: Upload) => Promise<T | Refusal>,
): Promise<Received<T> | Refusal> {
  const type = request.headers["content-type"] ?? "";
  if (!/^multipart\/form-data\s*;/i.test(type))
    return invalid("the request body must be multipart/form-data with the parts metadata and deployment_source");
  const announced = Number(request.headers["content-length"]);
  if (announced > limits.apiBodyBytesMax) return drained(request, refusal(413, tooLargeText));
  const parser = openParser(type);
  if (!parser) return drained(request, invalid("the multipart boundary is missing"));
  return run(request, parser, receive);
}

const tooLargeText = `the request body is larger than ${limits.apiBodyBytesMax} bytes`;

function openParser(type: string): InstanceType<typeof Busboy> | undefined {
  try {
    return new Busboy({
      headers: { "content-type": type },
      // What a client calls a file does not matter: the second part is the source.
      isPartAFile: (name) => name === deploymentParts.source,
      limits: { fieldNameSize: 100, fieldSize: limits.deploymentMetadataBytesMax + 1, fields: 2, files: 1, parts: 3, headerPairs: 50 },
    });
  } catch {
    return undefined;
  }
}

async function run<T>(
  request: FastifyRequest,
  parser: InstanceType<typeof Busboy>,
  receive: (upload: Upload) => Promise<T | Refusal>,
): Promise<Received<T> | Refusal> {
  const state: { metadata?: DeploymentMetadataBody; problem?: Refusal; result?: Promise<T | Refusal>; extra?: boolean } = {};
  const refuse = (problem: Refusal) => (state.problem ??= problem);
  parser.on("field", (name, value, _nameTruncated, valueTruncated) => {
    if (name !== deploymentParts.metadata || state.metadata || state.result) {
      refuse(wrongParts());
      return;
    }
    if (valueTruncated || Buffer.byteLength(value) > limits.deploymentMetadataBytesMax) {
      refuse(invalid(`metadata is larger than ${limits.deploymentMetadataBytesMax} bytes`));
      return;
    }
    const parsed = readBody(deploymentMetadataBody, Buffer.from(value));
    if (isRefusal(parsed)) refuse(parsed);
    else state.metadata = parsed.value as DeploymentMetadataBody;
  });
  parser.on("file", (name, stream) => {
    stream.on("error", () => undefined);
    if (state.problem || name !== deploymentParts.source || !state.metadata || state.result) {
      refuse(wrongParts());
      stream.resume();
      return;
    }
    state.result = receive({ metadata: state.metadata, source: stream }).finally(() => stream.resume());
    state.result.catch(() => undefined);
  });
  for (const limit of ["partsLimit", "filesLimit", "fieldsLimit"] as const) parser.on(limit, () => refuse(wrongParts()));
  try {
    await pipeline(request.body as Readable, counted(), parser);
  } catch (error) {
    if (error instanceof TooLarge) refuse(invalid(tooLargeText));
    else refuse(invalid(`the multipart body is malformed: ${(error as Error).message}`));
  }
  const result = await settle(state.result, state.problem !== undefined);
  if (state.problem) return state.problem;
  if (result === undefined || !state.metadata) return invalid("the part deployment_source is missing");
  return isRefusal(result) ? result : { metadata: state.metadata, stored: result };
}

/** When the body was broken off the receiver fails with it: its own error says nothing more. */
async function settle<T>(result: Promise<T | Refusal> | undefined, broken: boolean): Promise<T | Refusal | undefined> {
  try {
    return await result;
  } catch (error) {
    if (broken) return undefined;
    throw error;
  }
}

function wrongParts(): Refusal {
  return invalid(`the request needs exactly two parts in this order: ${deploymentParts.metadata}, ${deploymentParts.source}`);
}

class TooLarge extends Error {
  override name = "TooLarge";
}

function counted(): Transform {
  let total = 0;
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      total += chunk.length;
      done(total > limits.apiBodyBytesMax ? new TooLarge() : null, chunk);
    },
  });
}

/** A refusal that needs nothing of the body still reads what was sent, up to the bound of any body. */
async function drained(request: FastifyRequest, refused: Refusal): Promise<Refusal> {
  const body: unknown = request.body;
  if (body instanceof Readable) body.resume();
  return Promise.resolve(refused);
}
