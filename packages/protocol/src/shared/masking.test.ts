import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Json } from "./json.ts";
import { type Masker, createMasker, maskedBytesMin, maskedPartBytesMin, maskedValueBytesMax } from "./masking.ts";
import { needlesOf } from "./secret-forms.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const secret = "s3cr3t/+Wert=ü";

/** Pieces of the given lengths, in turn, until the text is used up. */
function pieces(bytes: Uint8Array, lengths: readonly number[]): Uint8Array[] {
  const parts: Uint8Array[] = [];
  for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
    const length = lengths[turn % lengths.length] ?? 1;
    parts.push(bytes.subarray(at, at + length));
    at += length;
  }
  return parts;
}

function throughStream(masker: Masker, parts: readonly Uint8Array[]): Uint8Array {
  const stream = masker.openStream();
  const out = parts.map((part) => stream.push(part));
  return Buffer.concat([...out, stream.end()]);
}

/** The definition, without an automaton: every occurrence of every needle is covered, every covered run is one mask. */
function maskedByDefinition(bytes: Uint8Array, needles: readonly Uint8Array[]): string {
  const covered = Array.from({ length: bytes.length }, () => false);
  for (const needle of needles) {
    for (let at = 0; at + needle.length <= bytes.length; at += 1) {
      if (needle.every((byte, index) => bytes[at + index] === byte)) covered.fill(true, at, at + needle.length);
    }
  }
  let text = "";
  for (const [at, byte] of bytes.entries()) {
    if (!covered[at]) text += String.fromCharCode(byte);
    else if (!covered[at - 1]) text += "***";
  }
  return text;
}

describe("a masking stream", () => {
  // Two letters only: overlaps, repetitions and false beginnings everywhere.
  const words = fc.string({ unit: fc.constantFrom("a", "b"), minLength: 4, maxLength: 9 });
  const texts = fc.string({ unit: fc.constantFrom("a", "b", "c"), maxLength: 120 });

  test("covers exactly what the definition covers, wherever the chunks end", () => {
    fc.assert(
      fc.property(
        fc.array(words, { minLength: 1, maxLength: 5 }),
        texts,
        fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1, maxLength: 8 }),
        (values, text, lengths) => {
          const bytes = encoder.encode(text);
          const out = throughStream(createMasker(values), pieces(bytes, lengths));
          expect(decoder.decode(out)).toBe(maskedByDefinition(bytes, needlesOf(values)));
        },
      ),
      { numRuns: 2_000 },
    );
  });

  test("covers the same for any bytes and for values planted in them", () => {
    const value = fc.string({ unit: "grapheme", minLength: 4, maxLength: 24 });
    fc.assert(
      fc.property(
        value,
        fc.uint8Array({ maxLength: 40 }),
        fc.uint8Array({ maxLength: 40 }),
        fc.integer({ min: 1, max: 50 }),
        (planted, before, after, length) => {
          const bytes = Uint8Array.from(Buffer.concat([before, encoder.encode(planted), after]));
          const out = throughStream(createMasker([planted]), pieces(bytes, [length]));
          expect(Buffer.from(out).toString("latin1")).toBe(maskedByDefinition(bytes, needlesOf([planted])));
        },
      ),
      { numRuns: 500 },
    );
  });

  test("gives out at once what cannot be the beginning of a value, and holds back no more than that", () => {
    const stream = createMasker([secret]).openStream();
    expect(decoder.decode(stream.push(encoder.encode("token: ")))).toBe("token: ");
    expect(stream.held).toBe(0);
    expect(decoder.decode(stream.push(encoder.encode("s3c")))).toBe("");
    expect(stream.held).toBe(3);
    expect(decoder.decode(stream.push(encoder.encode("onds")))).toBe("s3cond");
    expect(decoder.decode(stream.end())).toBe("s");
  });

  test("writes one mask for a value that comes byte by byte and for values that touch", () => {
    const text = `<${secret}${secret}>`;
    expect(decoder.decode(throughStream(createMasker([secret]), pieces(encoder.encode(text), [1])))).toBe("<***>");
  });

  test("starts anew after end()", () => {
    const stream = createMasker(["abcdef"]).openStream();
    expect(decoder.decode(stream.push(encoder.encode("abc")))).toBe("");
    expect(decoder.decode(stream.end())).toBe("abc");
    expect(decoder.decode(stream.push(encoder.encode("def")))).toBe("def");
  });

  test("needles that contain, overlap and repeat each other are covered whole", () => {
    const masker = createMasker(["aaaa", "aaaab", "baaaac"]);
    expect(masker.maskText("xaaaaaaaaabaaaacx")).toBe("x***x");
  });
});

describe("forms of a value", () => {
  const masker = createMasker([secret]);

  test.each([
    ["itself", secret],
    ["JSON", JSON.stringify({ token: 'quote"back\\slash' }), 'quote"back\\slash'],
    ["JSON inside JSON", JSON.stringify({ body: JSON.stringify({ token: 'quote"back\\slash' }) }), 'quote"back\\slash'],
    ["JSON in ASCII", String.raw`{"v":"s3cr3t/+Wert=\u00fc"}`],
    ["JSON for HTML", String.raw`{"v":"a\u003cb\u003ec\u0026d"}`, "a<b>c&d"],
    ["URL component", `?q=${encodeURIComponent(secret)}&x`],
    ["form", new URLSearchParams({ q: "with blank (and more)!" }).toString(), "with blank (and more)!"],
    ["URL, lower-case escapes", encodeURIComponent(secret).toLowerCase().replace("wert", "Wert")],
    ["hexadecimal", Buffer.from(secret).toString("hex")],
    ["hexadecimal, upper case", Buffer.from(secret).toString("hex").toUpperCase()],
    ["base64", Buffer.from(secret).toString("base64")],
    ["base64url", Buffer.from(secret).toString("base64url")],
  ])("%s", (_form, text, value = secret) => {
    const out = createMasker([value]).maskText(`before ${text} after`);
    expect(out).toContain("***");
    expect(out).toMatch(/^before /);
    expect(out).not.toContain(text);
  });

  test("base64 inside a longer encoding, at every alignment and with anything around it", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 12 }), fc.uint8Array({ maxLength: 12 }), fc.boolean(), (before, after, url) => {
        const text = Buffer.concat([before, Buffer.from(secret), after]).toString(url ? "base64url" : "base64");
        const out = masker.maskText(text);
        expect(out).toContain("***");
        // What is left at both ends of the mask shares bits with the neighbours: at most one character of four bits each.
        const shown = out.split("***").join("").length;
        const own = Math.ceil((before.length * 8) / 6) + Math.ceil((after.length * 8) / 6) + 2 + 2;
        expect(shown).toBeLessThanOrEqual(own);
      }),
    );
  });

  test("basic authentication", () => {
    const header = `Authorization: Basic ${Buffer.from(`ada:${secret}`).toString("base64")}`;
    const out = masker.maskText(header);
    expect(Buffer.from(out.slice(out.indexOf("Basic ") + 6), "base64").toString()).not.toContain("s3cr3t");
  });

  test("lines of a key file, with either line end, and the value without its last line break", () => {
    const pem = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEF\nAASCBKcwggSjAgEAAoIBAQC7\n-----END KEY-----\n";
    const pemMasker = createMasker([pem]);
    expect(pemMasker.maskText(`[${pem.trim()}]`)).toBe("[***]");
    expect(pemMasker.maskText(pem.replaceAll("\n", "\r\n"))).not.toMatch(/MIIE|AASC/);
    expect(pemMasker.maskText("  | AASCBKcwggSjAgEAAoIBAQC7")).toBe("  | ***");
    expect(createMasker(["hunter22\n"]).maskText("password hunter22.")).toBe("password ***.");
  });

  test("short values are left alone, short encodings too", () => {
    expect(createMasker(["yes", "1", ""]).active).toBe(false);
    expect(createMasker(["yes"]).maskText("yes")).toBe("yes");
    expect(createMasker(["pass"]).maskText("pass")).toBe("***");
    expect(maskedBytesMin).toBe(4);
    for (const needle of needlesOf(["p@ss"])) expect(needle.length === 4 || needle.length >= maskedPartBytesMin).toBe(true);
  });

  test("of a very long value the beginning is looked for", () => {
    const long = Array.from({ length: 300_000 }, (_, index) => index.toString(36)).join("");
    expect(long.length).toBeGreaterThan(maskedValueBytesMax);
    expect(createMasker([long]).maskText(`<${long}>`).length).toBe(long.length - maskedValueBytesMax + "<***>".length);
  });
});

describe("maskJson()", () => {
  const masker = createMasker([secret, "12345678"]);

  test("masks strings, names and numbers at any depth", () => {
    const value: Json = { list: [`x ${secret}`, { [secret]: 1 }], number: 12345678, other: [true, null, 1.5, "plain"] };
    expect(masker.maskJson(value)).toEqual({ list: ["x ***", { "***": 1 }], number: "***", other: [true, null, 1.5, "plain"] });
  });

  test("names that become the same keep their members", () => {
    expect(createMasker(["first-secret", "other-secret"]).maskJson({ "first-secret": 1, "other-secret": 2 })).toEqual({
      "***": 1,
      "*** (2)": 2,
    });
  });

  test("gives the same object back when there is nothing to mask", () => {
    const value: Json = { a: [1, "two", { three: null }] };
    expect(masker.maskJson(value)).toBe(value);
    expect(createMasker([]).maskJson(value)).toBe(value);
  });

  test("keeps a member named __proto__", () => {
    const value = JSON.parse(`{"__proto__": ${JSON.stringify(secret)}}`) as Json;
    expect(JSON.stringify(masker.maskJson(value))).toBe('{"__proto__":"***"}');
  });

  test("no JSON value shows a secret that is in one of its strings", () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.string(), (value, around) => {
        const planted = { value, text: `${around}${secret}${around}` } as Json;
        expect(JSON.stringify(masker.maskJson(planted))).not.toContain(secret);
      }),
    );
  });
});

test("maskBytes() gives the same bytes back when nothing is found", () => {
  const bytes = encoder.encode("nothing here");
  expect(createMasker([secret]).maskBytes(bytes)).toBe(bytes);
  expect(createMasker([]).maskBytes(bytes)).toBe(bytes);
});

test("text that is no well-formed Unicode is left alone", () => {
  const lone = "\ud800 and more";
  expect(createMasker([secret]).maskText(lone)).toBe(lone);
  expect(() => createMasker([`${lone}${lone}`]).maskText(lone)).not.toThrow();
});
