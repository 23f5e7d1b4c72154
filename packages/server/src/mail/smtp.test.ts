/** The SMTP transport against a server that speaks the protocol on a real socket. */
import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { openOutbox } from "./outbox.ts";
import { smtpTransport } from "./smtp.ts";
import { magicLinkMail } from "./texts.ts";

interface Delivered {
  from: string;
  to: string[];
  data: string;
  login: string | undefined;
}

/** The commands of RFC 5321 that a client needs, with AUTH PLAIN (RFC 4954). `refuse` answers a command instead. */
async function startSmtpServer(refuse: (command: string) => string | undefined = () => undefined) {
  const delivered: Delivered[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => undefined);
    serve(socket, { delivered, refuse });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { delivered, port: (server.address() as AddressInfo).port, close: () => closeServer(server, sockets) };
}

function serve(socket: Socket, { delivered, refuse }: { delivered: Delivered[]; refuse: (command: string) => string | undefined }): void {
  let received = "";
  let mail: Delivered = { from: "", to: [], data: "", login: undefined };
  let inData = false;
  const say = (line: string) => socket.write(`${line}\r\n`);

  function line(text: string): void {
    if (inData) {
      if (text === ".") {
        inData = false;
        delivered.push(mail);
        mail = { ...mail, from: "", to: [], data: "" };
        return void say("250 queued");
      }
      // A dot that begins a line travels doubled.
      mail.data += `${text.startsWith(".") ? text.slice(1) : text}\n`;
      return;
    }
    const refused = refuse(text);
    if (refused !== undefined) return void say(refused);
    const verb = text.split(/[ :]/)[0]?.toUpperCase();
    if (verb === "EHLO") return void socket.write("250-localhost\r\n250-AUTH PLAIN\r\n250 SIZE 1000000\r\n");
    if (verb === "AUTH")
      mail.login = Buffer.from(text.split(" ")[2] ?? "", "base64")
        .toString()
        .split("\0")
        .slice(1)
        .join(":");
    if (verb === "MAIL") mail.from = /<(.*)>/.exec(text)?.[1] ?? "";
    if (verb === "RCPT") mail.to.push(/<(.*)>/.exec(text)?.[1] ?? "");
    if (verb === "DATA") inData = true;
    if (verb === "QUIT") return void socket.end("221 bye\r\n");
    say(verb === "AUTH" ? "235 welcome" : verb === "DATA" ? "354 go on" : "250 ok");
  }

  say("220 test ESMTP");
  socket.on("data", (chunk) => {
    received += chunk.toString();
    for (let end = received.indexOf("\r\n"); end >= 0; end = received.indexOf("\r\n")) {
      const text = received.slice(0, end);
      received = received.slice(end + 2);
      line(text);
    }
  });
}

function closeServer(server: Server, sockets: Set<Socket>): Promise<void> {
  for (const socket of sockets) socket.destroy();
  return new Promise((resolve) => server.close(() => resolve()));
}

const open: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
});

async function setUp(refuse?: (command: string) => string | undefined) {
  const server = await startSmtpServer(refuse);
  open.push(server);
  const transport = smtpTransport({ url: `smtp://helmr:p%40ss@127.0.0.1:${server.port}`, from: "Helmr <helmr@example.com>" });
  open.push(transport);
  return { server, transport };
}

describe("the SMTP transport", () => {
  const url = `http://localhost:8787/auth/magic-link/callback?token=hlmr_ml_${"x".repeat(49)}`;

  test("delivers a mail whose link arrives in one piece, after logging in", async () => {
    const { server, transport } = await setUp();
    await transport.send(magicLinkMail({ to: "ada@example.com", url }));
    expect(server.delivered).toMatchObject([{ from: "helmr@example.com", to: ["ada@example.com"], login: "helmr:p@ss" }]);
    const { data } = server.delivered[0]!;
    expect(data).toMatch(/^From: Helmr <helmr@example\.com>$/m);
    expect(data).toMatch(/^To: ada@example\.com$/m);
    expect(data).toMatch(/^Subject: Log in to Helmr$/m);
    expect(decoded(data)).toContain(`\n${url}\n`);
  });

  test("keeps its connection for the next mail", async () => {
    let greeted = 0;
    const { server, transport } = await setUp((command) => {
      if (command.startsWith("EHLO")) greeted += 1;
      return undefined;
    });
    for (const to of ["a@example.com", "b@example.com", "c@example.com"]) await transport.send(magicLinkMail({ to, url }));
    expect(server.delivered.map((mail) => mail.to[0])).toEqual(["a@example.com", "b@example.com", "c@example.com"]);
    expect(greeted).toBe(1);
  });

  test("a refusal fails the mail and, in the outbox, is tried again", async () => {
    let refusals = 2;
    const { server, transport } = await setUp((command) =>
      command.startsWith("RCPT") && (refusals -= 1) >= 0 ? "451 try again later" : undefined,
    );
    const events: unknown[] = [];
    const outbox = openOutbox({ transport, report: (event) => events.push(event), retryMs: 1 });
    outbox.add(magicLinkMail({ to: "ada@example.com", url }));
    await outbox.idle();
    expect(server.delivered).toHaveLength(1);
    expect(events).toEqual([{ kind: "sent", subject: "Log in to Helmr", attempts: 3 }]);
  });

  test("nobody listening is an error of the mail, not of the process", async () => {
    const { server, transport } = await setUp();
    await server.close();
    await expect(transport.send(magicLinkMail({ to: "ada@example.com", url }))).rejects.toThrow(/ECONNREFUSED/);
  });
});

/** The body as the reader sees it: quoted-printable or 7bit. */
function decoded(data: string): string {
  const body = data.slice(data.indexOf("\n\n") + 1);
  if (!/^content-transfer-encoding: quoted-printable$/im.test(data)) return body;
  return body.replace(/=\n/g, "").replace(/=([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}
