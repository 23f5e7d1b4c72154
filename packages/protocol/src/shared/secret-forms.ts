/** In which forms a secret value can turn up in what a program writes. `masking.ts` says what is covered and what is not. */
export const maskedBytesMin = 4;
export const maskedPartBytesMin = 8;
export const maskedValueBytesMax = 1024 * 1024;
/** Over all values: above it encodings are left out and long values are cut earlier. */
const needleBytesMax = 8 * 1024 * 1024;
/** About how many bytes of needles one byte of a value costs with all encodings. */
const encodingFactor = 20;
/** Longer values are looked for as they are and by their lines, not in encodings. */
const encodedValueBytesMax = 64 * 1024;

const encoder = new TextEncoder();

/** Needles as bytes, without duplicates. */
export function needlesOf(values: Iterable<string>): Uint8Array[] {
  const distinct = [...new Set(values)].filter((value) => byteLength(value) >= maskedBytesMin);
  const valueBytesMax = Math.min(maskedValueBytesMax, Math.floor(needleBytesMax / 2 / Math.max(1, distinct.length)));
  const sum = distinct.reduce((bytes, value) => bytes + Math.min(byteLength(value), encodedValueBytesMax), 0);
  const encoded = sum * encodingFactor <= needleBytesMax;
  const needles = new Set<string>();
  for (const value of distinct) {
    for (const text of plainForms(value.length > valueBytesMax ? value.slice(0, valueBytesMax) : value)) needles.add(text);
    if (!encoded || byteLength(value) > encodedValueBytesMax) continue;
    for (const text of encodedForms(value)) if (byteLength(text) >= maskedPartBytesMin) needles.add(text);
  }
  return [...needles].map((needle) => encoder.encode(needle));
}

/** The value, the value without blanks around it, and its lines. */
function plainForms(value: string): string[] {
  const trimmed = value.trim();
  const lines = value.includes("\n") ? value.split(/\r?\n/).map((line) => line.trim()) : [];
  return [
    value,
    ...[trimmed].filter((text) => byteLength(text) >= maskedBytesMin),
    ...lines.filter((line) => byteLength(line) >= maskedPartBytesMin),
  ];
}

/** Encodings of the value and, because many programs drop the line break at its end, of the trimmed value. */
function encodedForms(value: string): string[] {
  return [...new Set([value, value.trim()])].flatMap((text) => [
    ...jsonForms(text),
    ...urlForms(text),
    ...binaryForms(encoder.encode(text)),
  ]);
}

function jsonForms(text: string): string[] {
  const once = inJson(text);
  const ascii = once.replace(/[^\x20-\x7e]/g, unicodeEscape);
  const html = once.replace(/[<>&\u2028\u2029]/g, unicodeEscape);
  return [once, inJson(once), ascii, html].filter((form) => form !== text);
}

function inJson(text: string): string {
  return JSON.stringify(text).slice(1, -1);
}

function unicodeEscape(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

function urlForms(text: string): string[] {
  if (!text.isWellFormed()) return [];
  const component = encodeURIComponent(text);
  const strict = component.replace(/[!'()*]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`);
  const form = strict.replaceAll("%20", "+");
  const upper = [component, strict, form];
  const lower = upper.map((one) => one.replace(/%[0-9A-F]{2}/g, (escape) => escape.toLowerCase()));
  return [...upper, ...lower].filter((one) => one !== text);
}

function binaryForms(bytes: Uint8Array): string[] {
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  const base64 = [0, 1, 2].map((offset) => base64Inside(bytes, offset));
  return [hex, hex.toUpperCase(), ...base64, ...base64.map((text) => text.replaceAll("+", "-").replaceAll("/", "_"))];
}

const base64Alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/**
 * The characters of a longer base64 text that depend on these bytes alone when they begin at `offset` (modulo 3) of the encoded bytes: the ones at
 * both ends that share bits with a neighbour are left out.
 */
function base64Inside(bytes: Uint8Array, offset: number): string {
  const bitsBefore = offset * 8;
  const firstCharacter = Math.ceil(bitsBefore / 6);
  const endCharacter = Math.floor((bitsBefore + bytes.length * 8) / 6);
  let text = "";
  for (let at = firstCharacter; at < endCharacter; at += 1) {
    const bit = at * 6 - bitsBefore;
    const high = bytes[bit >> 3] as number;
    const low = bytes[(bit >> 3) + 1] ?? 0;
    text += base64Alphabet[(((high << 8) | low) >> (10 - (bit & 7))) & 63];
  }
  return text;
}

function byteLength(text: string): number {
  return encoder.encode(text).length;
}
