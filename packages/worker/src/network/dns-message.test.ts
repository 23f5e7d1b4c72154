import dnsPacket from "dns-packet";
import type { Answer as OracleAnswer, DecodedPacket, Packet, StringAnswer } from "dns-packet";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { encodeAnswer, encodeQuery, parseQuestion, parseServerAnswer, recordTypes, responseCodes } from "./dns-message.ts";
import type { Question } from "./dns-message.ts";
import { parseAddress } from "./ip-address.ts";

function ask(name: string, type = "A", extra: Partial<Packet> = {}): Buffer {
  return dnsPacket.encode({
    type: "query",
    id: 77,
    flags: dnsPacket.RECURSION_DESIRED,
    questions: [{ type, name, class: "IN" } as never],
    ...extra,
  });
}

const edns = (over: object = {}) =>
  ({
    type: "OPT",
    name: ".",
    udpPayloadSize: 1400,
    flags: 0,
    ednsVersion: 0,
    extendedRcode: 0,
    options: [],
    flag_do: false,
    ...over,
  }) as never;

function questionOf(message: Buffer): Question {
  const parsed = parseQuestion(message);
  if (parsed.status === "drop") throw new Error("dropped");
  return parsed.question;
}

describe("parseQuestion()", () => {
  test("reads what dns-packet writes", () => {
    expect(parseQuestion(ask("WWW.Example.com", "AAAA"))).toMatchObject({
      status: "ok",
      question: { id: 77, recursionDesired: true, name: "www.example.com", type: recordTypes.aaaa, edns: false },
    });
    expect(parseQuestion(ask("_a._tcp.example.com", "SRV", { additionals: [edns()] }))).toMatchObject({
      status: "ok",
      question: { name: "_a._tcp.example.com", type: 33, edns: true },
    });
  });

  test("a name that is not plain is no name: it is never looked up", () => {
    const labels = (...parts: string[]) =>
      Buffer.concat([...parts.flatMap((part) => [Buffer.of(part.length), Buffer.from(part, "latin1")]), Buffer.of(0)]);
    const message = (name: Buffer) => Buffer.concat([ask("x").subarray(0, 12), name, Buffer.from("00010001", "hex")]);
    for (const name of [
      labels("api.example.com"),
      labels("a", "b\0", "c"),
      labels("a b"),
      labels("ü"),
      labels("é", "com"),
      labels("1", "2", "3", "4"),
      labels(),
    ]) {
      expect(parseQuestion(message(name))).toMatchObject({ status: "ok", question: { name: undefined } });
    }
    expect(parseQuestion(message(labels("api", "example", "com")))).toMatchObject({ question: { name: "api.example.com" } });
  });

  const good = ask("example.com");
  const changed = (at: number, ...bytes: number[]) => {
    const copy = Buffer.from(good);
    copy.set(bytes, at);
    return copy;
  };
  test.each([
    ["an answer", changed(2, 0x81), "drop"],
    ["a header alone cut short", good.subarray(0, 11), "drop"],
    ["another operation", changed(2, 0x29), responseCodes.notImplemented],
    ["no question", changed(5, 0), responseCodes.formatError],
    ["two questions", changed(5, 2), responseCodes.formatError],
    ["65535 questions", changed(4, 0xff, 0xff), responseCodes.formatError],
    ["answers in a question", changed(7, 1), responseCodes.formatError],
    ["65535 additional records", changed(10, 0xff, 0xff), responseCodes.formatError],
    ["a pointer to itself", changed(12, 0xc0, 12), responseCodes.formatError],
    ["a label of an unknown kind", changed(12, 0x40), responseCodes.formatError],
    ["a label that leads out of the message", changed(12, 63), responseCodes.formatError],
    ["a question cut short", good.subarray(0, good.length - 1), responseCodes.formatError],
    ["bytes behind the question", Buffer.concat([good, Buffer.of(0)]), responseCodes.formatError],
    ["another class", changed(good.length - 1, 3), responseCodes.refused],
    ["another version of EDNS", ask("example.com", "A", { additionals: [edns({ ednsVersion: 1 })] }), responseCodes.badVersion],
    [
      "an additional record that is not EDNS",
      ask("example.com", "A", { additionals: [{ type: "A", name: "x", ttl: 1, data: "1.2.3.4" }] }),
      responseCodes.formatError,
    ],
  ])("refuses %s", (_what, message, outcome) => {
    const parsed = parseQuestion(message);
    if (parsed.status === "refuse") expect(parsed.code).toBe(outcome);
    else expect(parsed.status).toBe(outcome);
  });

  test("refuses a name of more than 255 bytes", () => {
    const label = Buffer.concat([Buffer.of(63), Buffer.alloc(63, "a")]);
    const message = (labels: number) =>
      Buffer.concat([good.subarray(0, 12), ...Array.from({ length: labels }, () => label), Buffer.from("0000010001", "hex")]);
    expect(parseQuestion(message(3)).status).toBe("ok");
    expect(parseQuestion(message(4))).toMatchObject({ status: "refuse", code: responseCodes.formatError });
  });

  test("whatever comes in, an answer to it can be written and read", () => {
    const noise = fc.oneof(
      fc.uint8Array({ maxLength: 600 }),
      fc.tuple(fc.nat(good.length - 1), fc.nat(255)).map(([at, byte]) => changed(at, byte)),
      fc.uint8Array({ maxLength: 300 }).map((tail) => Buffer.concat([good.subarray(0, 12), tail])),
    );
    fc.assert(
      fc.property(noise, (bytes) => {
        const parsed = parseQuestion(Buffer.from(bytes));
        if (parsed.status === "drop") return;
        const code = parsed.status === "refuse" ? parsed.code : responseCodes.noSuchName;
        const answer = encodeAnswer(parsed.question, { code, extendedError: { code: 18, text: "no" } }, 512);
        expect(answer.length).toBeLessThanOrEqual(512);
        expect(answer.readUInt16BE(0)).toBe(Buffer.from(bytes).readUInt16BE(0));
        if (parsed.question.name !== undefined) expect(dnsPacket.decode(answer).questions).toHaveLength(1);
      }),
      { numRuns: 3_000 },
    );
  });
});

describe("encodeAnswer()", () => {
  test("is read by dns-packet as it was meant", () => {
    const question = questionOf(ask("Example.com", "A", { additionals: [edns()] }));
    const answer = encodeAnswer(question, { code: 0, ttl: 30, addresses: [parseAddress("1.2.3.4")!, parseAddress("5.6.7.8")!] }, 512);
    const decoded = dnsPacket.decode(answer) as DecodedPacket & { rcode: string };
    expect(decoded).toMatchObject({ id: 77, type: "response", flag_ra: true, flag_rd: true, flag_tc: false, rcode: "NOERROR" });
    expect(decoded.questions).toMatchObject([{ name: "Example.com", type: "A" }]);
    expect((decoded.answers as StringAnswer[]).map(({ name, type, ttl, data }) => [name, type, ttl, data])).toEqual([
      ["Example.com", "A", 30, "1.2.3.4"],
      ["Example.com", "A", 30, "5.6.7.8"],
    ]);
    expect(decoded.additionals).toHaveLength(1);
  });

  test("writes IPv6, extended errors, and the upper bits of a code", () => {
    const question = questionOf(ask("a.b", "AAAA", { additionals: [edns()] }));
    const six = dnsPacket.decode(encodeAnswer(question, { code: 0, ttl: 1, addresses: [parseAddress("2001:db8::1")!] }, 512));
    expect(six.answers).toMatchObject([{ type: "AAAA", data: "2001:db8::1" }]);
    const refused = encodeAnswer(question, { code: responseCodes.badVersion, extendedError: { code: 18, text: "closed" } }, 512);
    const [opt] = dnsPacket.decode(refused).additionals as unknown as {
      extendedRcode: number;
      options: { code: number; data: Buffer }[];
    }[];
    expect(opt?.extendedRcode).toBe(1);
    expect(opt?.options[0]?.code).toBe(15);
    expect(opt?.options[0]?.data.toString("latin1", 2)).toBe("closed");
  });

  test("says that it was cut when it is longer than the asker takes", () => {
    const addresses = Array.from({ length: 64 }, (_, index) => parseAddress(`1.2.3.${index}`)!);
    const answer = encodeAnswer(questionOf(ask("a.b")), { code: 0, ttl: 1, addresses }, 512);
    expect(dnsPacket.decode(answer)).toMatchObject({ flag_tc: true, answers: [] });
  });
});

describe("parseServerAnswer()", () => {
  const query = encodeQuery(9, "www.example.com", recordTypes.a);
  const respond = (answers: object[], over: Partial<Packet> & { rcode?: number } = {}) =>
    dnsPacket.encode({
      type: "response",
      id: 9,
      flags: dnsPacket.RECURSION_AVAILABLE | (over.rcode ?? 0),
      questions: [{ type: "A", name: "WWW.example.com" }],
      answers: answers as OracleAnswer[],
      ...over,
    });
  const a = (name: string, data: string, ttl = 60) => ({ type: "A", name, ttl, data });
  const cname = (name: string, data: string) => ({ type: "CNAME", name, ttl: 60, data });
  const addresses = (message: Buffer, asked = query) => parseServerAnswer(message, asked)?.addresses.map((address) => address.text);

  test("our query is one that dns-packet reads", () => {
    expect(dnsPacket.decode(query)).toMatchObject({
      id: 9,
      type: "query",
      flag_rd: true,
      questions: [{ name: "www.example.com", type: "A", class: "IN" }],
    });
  });

  test("takes the addresses of the name, directly or over CNAMEs in any order", () => {
    expect(addresses(respond([a("www.example.com", "1.1.1.1"), a("WWW.EXAMPLE.COM", "2.2.2.2")]))).toEqual(["1.1.1.1", "2.2.2.2"]);
    expect(addresses(respond([a("c.cdn.net", "3.3.3.3"), cname("b.cdn.net", "c.cdn.net"), cname("www.example.com", "B.cdn.net")]))).toEqual(
      ["3.3.3.3"],
    );
  });

  test("takes no address that belongs to another name", () => {
    expect(addresses(respond([a("evil.example", "6.6.6.6")]))).toEqual([]);
    expect(addresses(respond([cname("www.example.com", "b.cdn.net"), a("evil.example", "6.6.6.6"), a("b.cdn.net", "3.3.3.3")]))).toEqual([
      "3.3.3.3",
    ]);
    expect(addresses(respond([cname("www.example.com", "b.cdn.net"), cname("b.cdn.net", "www.example.com")]))).toEqual([]);
    expect(addresses(respond([{ type: "AAAA", name: "www.example.com", ttl: 1, data: "::1" }]))).toEqual([]);
  });

  test("hears only the answer to its own question", () => {
    const answer = [a("www.example.com", "1.1.1.1")];
    expect(parseServerAnswer(respond(answer, { id: 10 }), query)).toBeUndefined();
    expect(parseServerAnswer(respond(answer, { questions: [{ type: "A", name: "www.example.org" }] }), query)).toBeUndefined();
    expect(parseServerAnswer(respond(answer, { questions: [{ type: "AAAA", name: "www.example.com" }] }), query)).toBeUndefined();
    expect(parseServerAnswer(respond(answer, { questions: [] }), query)).toBeUndefined();
    expect(parseServerAnswer(query, query)).toBeUndefined();
  });

  test("bounds times to live, those of a missing name too", () => {
    expect(parseServerAnswer(respond([a("www.example.com", "1.1.1.1", 86_400), a("www.example.com", "1.1.1.2", 7)]), query)?.ttl).toBe(7);
    expect(parseServerAnswer(respond([a("www.example.com", "1.1.1.1", 86_400)]), query)?.ttl).toBe(300);
    expect(parseServerAnswer(respond([a("www.example.com", "1.1.1.1", 0)]), query)?.ttl).toBe(1);
    const soa = {
      type: "SOA",
      name: "example.com",
      ttl: 900,
      data: { mname: "a.", rname: "b.", serial: 1, refresh: 1, retry: 1, expire: 1, minimum: 12 },
    };
    expect(parseServerAnswer(respond([], { rcode: 3, authorities: [soa as never] }), query)).toMatchObject({ code: 3, ttl: 12 });
    expect(parseServerAnswer(respond([], { rcode: 3 }), query)).toMatchObject({ code: 3, ttl: 5 });
  });

  test("what is passed on keeps its compressed names, without the additional records", () => {
    // Question and answers of a name server that compresses: MX 10 mail.<question's name>, with an address for it behind.
    const name = Buffer.from("03777777076578616d706c6503636f6d00", "hex");
    const message = Buffer.concat([
      Buffer.from("000981800001000100000001", "hex"),
      name,
      Buffer.from("000f0001", "hex"),
      Buffer.from("c00c000f0001000151800009000a046d61696cc010", "hex"),
      Buffer.from("c02d000100010000003c000406060606", "hex"),
    ]);
    const answer = parseServerAnswer(message, encodeQuery(9, "www.example.com", 15))!;
    const passed = encodeAnswer(questionOf(ask("wWw.example.com", "MX")), { code: answer.code, passed: answer.passed }, 4096);
    const decoded = dnsPacket.decode(passed);
    expect(decoded.answers).toMatchObject([{ type: "MX", ttl: 300, data: { preference: 10, exchange: "mail.example.com" } }]);
    expect(decoded.additionals).toEqual([]);
  });

  test("survives pointers in circles, forwards and out of the message", () => {
    const start = Buffer.from("000981800001000100000000", "hex");
    const question = query.subarray(12, 12 + 17 + 4);
    const record = (owner: string) => Buffer.concat([start, question, Buffer.from(`${owner}000100010000003c000401010101`, "hex")]);
    expect(addresses(record("c00c"))).toEqual(["1.1.1.1"]);
    for (const owner of ["c021", "c022", "c0ff", "ffff", "80", "c0", "3f", "01c021"])
      expect(parseServerAnswer(record(owner), query)).toBeUndefined();
  });

  test("counts that the message does not hold make it no answer; a truncated one is cut anywhere", () => {
    const message = Buffer.from(respond([a("www.example.com", "1.1.1.1")]));
    message.writeUInt16BE(0xffff, 6);
    expect(parseServerAnswer(message, query)).toBeUndefined();
    message[2] = (message[2] ?? 0) | 0x02;
    expect(parseServerAnswer(message, query)).toMatchObject({ truncated: true, addresses: [] });
  });

  test("agrees with dns-packet on whatever both can read, and never throws", () => {
    const whole = respond([cname("www.example.com", "b.cdn.net"), a("b.cdn.net", "3.3.3.3"), a("b.cdn.net", "4.4.4.4")]);
    const damaged = fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { maxLength: 6 }).map((changes) => {
      const copy = Buffer.from(whole);
      for (const [at, byte] of changes) copy[at] = byte;
      return copy;
    });
    const random = fc.uint8Array({ maxLength: 1500 }).map((tail) => Buffer.concat([whole.subarray(0, 33), tail]));
    fc.assert(
      fc.property(fc.oneof(damaged, random), (message) => {
        const parsed = parseServerAnswer(message, query);
        if (!parsed) return;
        let oracle: DecodedPacket;
        try {
          oracle = dnsPacket.decode(message);
        } catch {
          return;
        }
        // dns-packet reads other kinds of records (NSEC) beyond their end and loses its place.
        if (!(oracle.answers ?? []).every(({ type }) => ["A", "AAAA", "CNAME"].includes(type))) return;
        const known = new Set((oracle.answers ?? []).map((answer) => (answer as StringAnswer).data));
        for (const address of parsed.addresses) expect(known).toContain(address.text);
      }),
      { numRuns: 5_000 },
    );
  });

  test("of a message full of records only so many are taken", () => {
    const record = Buffer.from("c00c0001000100000001000401010101", "hex");
    const header = Buffer.from("000981800001000000000000", "hex");
    const records = 4_000;
    header.writeUInt16BE(records, 6);
    const message = Buffer.concat([header, query.subarray(12, 33), ...Array.from({ length: records }, () => record)]);
    expect(addresses(message)).toHaveLength(64);
  });
});
