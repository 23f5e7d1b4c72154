/** A name server on the loopback, over UDP and TCP, that answers as it is told. */
import { createSocket } from "node:dgram";
import type { RemoteInfo, Socket as UdpSocket } from "node:dgram";
import { once } from "node:events";
import { createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import dnsPacket from "dns-packet";
import type { Answer, Packet } from "dns-packet";

interface AskedQuestion {
  name: string;
  type: string;
  transport: "udp" | "tcp";
}

/** `silent`: no answer at all. */
export type Reply =
  | { answers?: Answer[]; authorities?: Answer[]; rcode?: number; truncated?: boolean; raw?: (query: Buffer) => Buffer[] }
  | "silent";

export interface NameServerModel extends AsyncDisposable {
  readonly address: string;
  readonly port: number;
  readonly asked: AskedQuestion[];
  reply: (question: AskedQuestion) => Reply;
}

export async function startNameServer(reply: NameServerModel["reply"]): Promise<NameServerModel> {
  const { udp, tcp } = await bindBoth(10);
  const open = new Set<Socket>();
  const server: NameServerModel = {
    address: "127.0.0.1",
    port: (tcp.address() as AddressInfo).port,
    asked: [],
    reply,
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy();
      udp.close();
      tcp.close();
      await Promise.all([once(udp, "close"), once(tcp, "close")]);
    },
  };
  const messages = (query: Buffer, transport: "udp" | "tcp"): Buffer[] => {
    const { name, type } = dnsPacket.decode(query).questions?.[0] ?? { name: "", type: "" };
    const question = { name, type, transport };
    server.asked.push(question);
    const reply = server.reply(question);
    if (reply === "silent") return [];
    return reply.raw ? reply.raw(query) : [encodeReply(query, reply)];
  };
  udp.on("message", (query: Buffer, from: RemoteInfo) => {
    for (const message of messages(query, "udp")) udp.send(message, from.port, from.address);
  });
  tcp.on("connection", (socket) => {
    open.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => open.delete(socket));
    socket.on("data", (bytes: Buffer) => {
      for (const message of messages(bytes.subarray(2), "tcp")) {
        const length = Buffer.alloc(2);
        length.writeUInt16BE(message.length);
        socket.write(Buffer.concat([length, message]));
      }
    });
  });
  return server;
}

/** One port for both transports; a port that is free for one may be taken for the other. */
async function bindBoth(tries: number): Promise<{ udp: UdpSocket; tcp: Server }> {
  const udp = createSocket("udp4").bind(0, "127.0.0.1");
  await once(udp, "listening");
  const tcp = createServer().listen(udp.address().port, "127.0.0.1");
  try {
    await once(tcp, "listening");
    return { udp, tcp };
  } catch (error) {
    udp.close();
    if (tries === 1) throw error;
    return bindBoth(tries - 1);
  }
}

export function encodeReply(query: Buffer, reply: Exclude<Reply, "silent">, over: Packet = {}): Buffer {
  const { id, questions } = dnsPacket.decode(query);
  const truncated = reply.truncated ? dnsPacket.TRUNCATED_RESPONSE : 0;
  return dnsPacket.encode({
    type: "response",
    id,
    flags: dnsPacket.RECURSION_AVAILABLE | (reply.rcode ?? 0) | truncated,
    questions,
    answers: reply.answers ?? [],
    authorities: reply.authorities ?? [],
    ...over,
  });
}
