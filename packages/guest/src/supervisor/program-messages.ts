/**
 * Checks what the program sends: it is the tenant's process and may send anything. Written by hand instead of with zod, because the
 * supervisor's heap is part of every template; a test holds it against the schemas of the guest protocol.
 */
import { callJsonCharactersMax, type ProgramCallBody } from "@helmr/protocol/guest";
import type { FromProgram, LogMessage, ProgramEnd } from "../program/pipe.ts";

export type Checked = { ok: true; message: FromProgram } | { ok: false; problem: string };

type Fields = Record<string, unknown>;

const logMessageCharactersMax = 70_000;
const logFieldsBytesMax = 131_072;

export function checkProgramMessage(value: unknown): Checked {
  if (!isObject(value)) return refused("a message that is no object");
  switch (value["type"]) {
    case "started":
      return isText(value["node"], 64) && isFiniteNumber(value["bootMs"]) && isFiniteNumber(value["loadMs"])
        ? { ok: true, message: { type: "started", node: value["node"], bootMs: value["bootMs"], loadMs: value["loadMs"] } }
        : refused("a malformed `started`");
    case "call": {
      const call = isObject(value["call"]) ? checkCall(value["call"]) : undefined;
      if (!isCount(value["callId"]) || call === undefined) return refused("a malformed `call`");
      return { ok: true, message: { type: "call", callId: value["callId"], call } };
    }
    case "log": {
      const log = checkLog(value);
      return log === undefined ? refused("a malformed `log`") : { ok: true, message: log };
    }
    case "ended": {
      const end = isObject(value["end"]) ? checkEnd(value["end"]) : undefined;
      return end === undefined ? refused("a malformed `ended`") : { ok: true, message: { type: "ended", end } };
    }
    default:
      return refused("a message of unknown type");
  }
}

function refused(problem: string): Checked {
  return { ok: false, problem };
}

/** Builds a new object from the members it knows: nothing else is passed on. */
export function checkCall(call: Fields): ProgramCallBody | undefined {
  switch (call["kind"]) {
    case "wait":
      return checkWait(call);
    case "stream.peek": {
      const place = checkStreamPlace(call);
      return place && { kind: "stream.peek", ...place };
    }
    case "stream.append":
      if (!isText(call["stream"], 256) || !isText(call["json"], callJsonCharactersMax) || !isOptional(call["contentType"], isShortText))
        return undefined;
      return {
        kind: "stream.append",
        stream: call["stream"],
        json: call["json"],
        ...present({ contentType: call["contentType"] as string }),
      };
    case "token.create":
      return checkTokenCreate(call);
    case "metadata": {
      const operation = isObject(call["operation"]) ? checkMetadata(call["operation"]) : undefined;
      return operation && { kind: "metadata", operation };
    }
    case "wait.cancel":
      return isCount(call["waitCallId"]) ? { kind: "wait.cancel", waitCallId: call["waitCallId"] } : undefined;
    default:
      return undefined;
  }
}

type WaitCall = Extract<ProgramCallBody, { kind: "wait" }>;

function checkWait(call: Fields): WaitCall | undefined {
  const on = isObject(call["on"]) ? checkCondition(call["on"]) : undefined;
  const { timeoutSeconds, idleTimeoutSeconds, metadata, tags } = call as Partial<WaitCall>;
  if (on === undefined || typeof call["parkable"] !== "boolean") return undefined;
  if (!isOptional(timeoutSeconds, isPositive) || !isOptional(idleTimeoutSeconds, isPositive)) return undefined;
  if (!isOptional(metadata, isObject) || !isOptional(tags, isTags)) return undefined;
  return { kind: "wait", on, parkable: call["parkable"], ...present({ timeoutSeconds, idleTimeoutSeconds, metadata, tags }) };
}

function checkCondition(on: Fields): WaitCall["on"] | undefined {
  switch (on["kind"]) {
    case "token":
      return isText(on["tokenId"], 64) ? { kind: "token", tokenId: on["tokenId"] } : undefined;
    case "stream": {
      const place = checkStreamPlace(on);
      return place && { kind: "stream", ...place };
    }
    case "timer":
      return isCount(on["delayMs"]) ? { kind: "timer", delayMs: on["delayMs"] } : undefined;
    default:
      return undefined;
  }
}

function checkStreamPlace(value: Fields): { stream: string; afterSequence?: number; correlationId?: string } | undefined {
  const { stream, afterSequence, correlationId } = value;
  if (!isText(stream, 256) || !isOptional(afterSequence, isCount) || !isOptional(correlationId, isKey)) return undefined;
  return { stream, ...present({ afterSequence: afterSequence as number, correlationId: correlationId as string }) };
}

type TokenCreate = Extract<ProgramCallBody, { kind: "token.create" }>;

function checkTokenCreate(call: Fields): TokenCreate | undefined {
  const { timeoutMs, tags, metadata, idempotencyKey } = call as Partial<TokenCreate>;
  if (
    !isOptional(timeoutMs, isPositive) ||
    !isOptional(tags, isTags) ||
    !isOptional(metadata, isObject) ||
    !isOptional(idempotencyKey, isKey)
  )
    return undefined;
  return { kind: "token.create", ...present({ timeoutMs, tags, metadata, idempotencyKey }) };
}

type MetadataOperation = Extract<ProgramCallBody, { kind: "metadata" }>["operation"];

function checkMetadata(operation: Fields): MetadataOperation | undefined {
  const { op, key, json, amount } = operation;
  if (op === "patch") return isText(json, callJsonCharactersMax) ? { op, json } : undefined;
  if (!isText(key, 1024)) return undefined;
  if (op === "set") return isText(json, callJsonCharactersMax) ? { op, key, json } : undefined;
  return op === "increment" && isFiniteNumber(amount) ? { op, key, amount } : undefined;
}

function checkLog(value: Fields): LogMessage | undefined {
  const { level, message, fields, at } = value;
  if (level !== "info" && level !== "warn" && level !== "error") return undefined;
  if (!isText(message, logMessageCharactersMax) || !isText(at, 64) || !isOptional(fields, isObject)) return undefined;
  if (fields !== undefined && JSON.stringify(fields).length > logFieldsBytesMax) return undefined;
  return { type: "log", level, message, at, ...present({ fields: fields as Record<string, unknown> }) };
}

const failureKinds = ["task_failed", "task_not_found", "task_parse_failed"] as const;
const startDetails = ["node_too_old", "module_missing", "dependency_missing", "module_failed"] as const;
const threwDetails = ["payload_invalid", "output_invalid"] as const;

function checkEnd(end: Fields): ProgramEnd | undefined {
  const { outcome, json, detail, message, failureKind } = end;
  if (outcome === "returned") return isOptional(json, isJsonText) ? { outcome, ...present({ json: json as string }) } : undefined;
  if (!isText(message, 65_536)) return undefined;
  if (outcome === "threw") {
    if (detail !== undefined && !isOneOf(threwDetails, detail)) return undefined;
    return { outcome, message, ...present({ detail: detail as (typeof threwDetails)[number] }) };
  }
  if (outcome === "stalled") return { outcome, message };
  if (outcome === "not_started" && isOneOf(failureKinds, failureKind) && isOneOf(startDetails, detail))
    return { outcome, failureKind, detail, message };
  return undefined;
}

function isObject(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isText(value: unknown, charactersMax: number): value is string {
  return typeof value === "string" && value.length <= charactersMax;
}

const isShortText = (value: unknown) => isText(value, 256);
const isKey = (value: unknown) => isText(value, 512);
const isJsonText = (value: unknown) => isText(value, callJsonCharactersMax);

function isFiniteNumber(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isPositive(value: unknown): value is number {
  return isCount(value) && value > 0;
}

function isTags(value: unknown): value is string[] {
  return Array.isArray(value) && value.length <= 32 && value.every((tag) => isText(tag, 128));
}

function isOptional(value: unknown, check: (value: unknown) => boolean): boolean {
  return value === undefined || check(value);
}

function isOneOf<T>(allowed: readonly T[], value: unknown): value is T {
  return (allowed as readonly unknown[]).includes(value);
}

/** Leaves out what is undefined. */
function present<T extends Fields>(members: T): T {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined)) as T;
}
