/** Live files and connections to ports: one call of the control plane becomes one request to the guest, with its byte streams joined to the call's. */
import { fileOperation } from "@helmr/protocol/guest";
import type { LiveRequest } from "@helmr/protocol/worker";
import { type GuestLink, GuestRefused } from "../guest/guest-link.ts";
import { errorText } from "../telemetry.ts";
import type { LiveStream } from "./live-stream.ts";

export interface CallGround {
  link: GuestLink;
  /** A stream id that this machine has not had yet. */
  streamId: () => number;
}

const times = { requestMs: 60_000, transferMs: 60 * 60_000 } as const;

/** Never rejects. */
export async function serveLiveCall(
  ground: CallGround,
  request: Exclude<LiveRequest, { kind: "capture" }>,
  stream: LiveStream,
): Promise<void> {
  try {
    await (request.kind === "port" ? servePort(ground, request.port, stream) : serveFile(ground, request.operation, stream));
  } catch (error) {
    if (error instanceof GuestRefused) stream.refuse(error.code, error.message);
    else stream.refuse("guest_gone", errorText(error));
  }
}

async function serveFile({ link, streamId }: CallGround, given: object, stream: LiveStream): Promise<void> {
  const id = streamId();
  const parsed = fileOperation.safeParse({ ...given, stream: id });
  if (!parsed.success) return stream.refuse("bad_request", `The operation is not of the protocol: ${parsed.error.message.slice(0, 500)}`);
  const operation = parsed.data;
  switch (operation.kind) {
    case "read":
    case "download": {
      const sent = takeStream(link, id, stream);
      try {
        stream.open(await link.request({ type: "file", operation }, times.requestMs));
      } catch (error) {
        link.dropStream(id);
        throw error;
      }
      return sent;
    }
    case "write":
    case "upload": {
      const answer = link.request({ type: "file", operation }, times.transferMs);
      // The guest says why it stopped taking bytes; the sender only knows that it did.
      const sending = link.sendStream(id, stream as AsyncIterable<Buffer>).catch(() => undefined);
      stream.open(await answer);
      await sending;
      return void stream.end();
    }
    default:
      stream.open(await link.request({ type: "file", operation }, times.requestMs));
      return void stream.end();
  }
}

async function servePort({ link, streamId }: CallGround, port: number, stream: LiveStream): Promise<void> {
  const input = streamId();
  const output = streamId();
  const received = takeStream(link, output, stream);
  try {
    const answer = link.request({ type: "port.open", port, input, output }, times.requestMs);
    const sending = link.sendStream(input, stream as AsyncIterable<Buffer>).catch(() => undefined);
    await answer;
    stream.open(undefined);
    await Promise.all([sending, received]);
  } catch (error) {
    link.dropStream(output);
    throw error;
  }
}

/** Guest → host bytes go to the call; they are acknowledged once it has taken them. Resolves at the end of the stream. */
function takeStream(link: GuestLink, id: number, stream: LiveStream): Promise<void> {
  return new Promise((resolve) => {
    let offset = 0;
    let over = false;
    const finish = () => {
      over = true;
      link.dropStream(id);
      resolve();
    };
    link.receiveStream(id, {
      data(data) {
        const end = offset + data.length;
        offset = end;
        stream.write(Buffer.from(data), () => link.acknowledge(id, end));
      },
      end(_length, error) {
        if (error === undefined) stream.end();
        else stream.cut(error);
        finish();
      },
    });
    stream.once("close", () => {
      if (over) return;
      // Nobody wants the rest.
      link.notify({ type: "stream.stop", stream: id });
      finish();
    });
  });
}
