/** Base64 in Node and browsers. `atob` and `btoa` take binary text; large data goes through in pieces. */
const pieceBytes = 0x8000;

export function base64Bytes(text: string): Uint8Array<ArrayBuffer> {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let index = 0; index < binary.length; index += 1) bytes[index] = binary.charCodeAt(index);
  return bytes;
}

export function base64Text(data: string | Uint8Array): string {
  const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
  let binary = "";
  for (let from = 0; from < bytes.length; from += pieceBytes) binary += String.fromCharCode(...bytes.subarray(from, from + pieceBytes));
  return btoa(binary);
}
