import { programCallBody } from "@helmr/protocol/guest";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { checkCall, checkProgramMessage } from "./program-messages.ts";

const small = fc.oneof(
  fc.string({ maxLength: 6 }),
  fc.integer({ min: -2, max: 5 }),
  fc.double(),
  fc.boolean(),
  fc.constant(null),
  fc.constant("x".repeat(600)),
);
const tags = fc.oneof(fc.array(fc.oneof(fc.string(), fc.integer()), { maxLength: 40 }), small);
const object = fc.oneof(fc.dictionary(fc.string({ maxLength: 3 }), small, { maxKeys: 3 }), small);

/** Near the truth: right names, values of every kind, members left out. */
const condition = fc.record(
  {
    kind: fc.constantFrom("token", "stream", "timer", "other"),
    tokenId: small,
    stream: small,
    afterSequence: small,
    correlationId: small,
    delayMs: small,
  },
  { requiredKeys: ["kind"] },
);
const operation = fc.record(
  { op: fc.constantFrom("set", "patch", "increment", "drop"), key: small, json: small, amount: small },
  { requiredKeys: ["op"] },
);
const call = fc.record(
  {
    kind: fc.constantFrom("wait", "stream.peek", "stream.append", "token.create", "metadata", "wait.cancel", "secrets"),
    on: fc.oneof(condition, small),
    parkable: small,
    timeoutSeconds: small,
    idleTimeoutSeconds: small,
    metadata: object,
    tags,
    stream: small,
    afterSequence: small,
    correlationId: small,
    json: small,
    contentType: small,
    timeoutMs: small,
    idempotencyKey: small,
    operation: fc.oneof(operation, small),
    waitCallId: small,
  },
  { requiredKeys: ["kind"] },
);

describe("checkCall()", () => {
  test("accepts exactly what the guest protocol accepts, and passes on the same", () => {
    let accepted = 0;
    const property = fc.property(call, (value) => {
      // What arrives is JSON: members that are undefined are not there.
      const wire = JSON.parse(JSON.stringify(value)) as Record<string, unknown>;
      const expected = programCallBody.safeParse(wire);
      const checked = checkCall(wire);
      if (checked !== undefined) accepted += 1;
      expect(checked).toEqual(expected.success ? expected.data : undefined);
    });
    fc.assert(property, { numRuns: 5000 });
    expect(accepted).toBeGreaterThan(50);
  });
});

describe("checkProgramMessage()", () => {
  test("judges anything without an exception, and gives out only what it knows", () => {
    const types = fc.constantFrom("started", "call", "log", "ended", "attach", "__proto__");
    const members = fc.dictionary(
      fc.constantFrom("callId", "call", "level", "message", "fields", "at", "end", "node", "bootMs", "extra"),
      fc.oneof(small, object, call),
    );
    const property = fc.property(
      fc.oneof(
        fc.jsonValue(),
        fc.tuple(types, members).map(([type, rest]) => ({ type, ...rest })),
      ),
      (value) => {
        const checked = checkProgramMessage(JSON.parse(JSON.stringify(value)));
        if (checked.ok) expect(JSON.stringify(checked.message)).not.toContain('"extra"');
      },
    );
    fc.assert(property, { numRuns: 3000 });
  });
});
