/** A port that leads to another one until it is cut: for what a client does when its connections break in the middle. */
import { connect, createServer, type Socket } from "node:net";

export interface CuttableConnection {
  url: string;
  /** Ends every connection as a failing network would; new ones are let through. */
  cut(): number;
  close(): Promise<void>;
}

export async function openCuttableConnection(target: string): Promise<CuttableConnection> {
  const { port } = new URL(target);
  const sockets = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect(Number(port), "127.0.0.1");
    const drop = () => {
      near.destroy();
      far.destroy();
    };
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.once("close", () => {
        sockets.delete(socket);
        drop();
      });
      socket.once("error", drop);
    }
    near.pipe(far).pipe(near);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  const address = server.address();
  const cut = () => {
    const count = sockets.size;
    for (const socket of sockets) socket.resetAndDestroy();
    return count;
  };
  return {
    url: `http://localhost:${typeof address === "object" && address ? address.port : 0}`,
    cut,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        cut();
      }),
  };
}
