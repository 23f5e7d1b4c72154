/** One connection of the host as a duplex stream: what comes goes to the link, what the link writes goes out in one write at a time. */
import type { Duplex } from "node:stream";
import type { HostLink } from "./host-link.ts";

export function serveWire(wire: Duplex, link: HostLink): void {
  const disconnect = link.connect((parts, done) => {
    const last = parts.length - 1;
    if (last > 0) wire.cork();
    for (const [index, part] of parts.entries()) {
      if (index === last) wire.write(part, () => done());
      else wire.write(part);
    }
    if (last > 0) wire.uncork();
  });
  let over = false;
  const end = () => {
    if (over) return;
    over = true;
    disconnect();
    wire.destroy();
  };
  wire.on("data", (chunk: Buffer) => {
    const { broken } = link.receive(chunk);
    if (broken === undefined) return;
    process.stderr.write(`supervisor: closing the connection to the host: ${broken}\n`);
    end();
  });
  wire.on("end", end);
  wire.on("error", end);
  wire.on("close", end);
}
