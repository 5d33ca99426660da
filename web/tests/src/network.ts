// A proxy between a client and a server that can cut connections, or stop forwarding without closing them.
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
// docs: websocket
import { WebSocket } from "ws";

// Browsers and Node.js 22 or later have a built-in `WebSocket`.
(globalThis as { WebSocket?: unknown }).WebSocket ??= WebSocket;
// docs: end

export interface Network {
  url: string;
  // Cuts all connections, and accepts none until `restore`.
  cut: () => void;
  // Stops forwarding data on the existing connections, without closing them.
  silence: () => void;
  restore: () => void;
  close: () => void;
}

export async function networkTo(url: string): Promise<Network> {
  const { hostname, port, pathname } = new URL(url);
  const sockets = new Set<Socket>();
  let isCut = false;
  const server = createServer((near) => {
    if (isCut) return near.destroy();
    const far = connect(Number(port), hostname);
    near.pipe(far).pipe(near);
    for (const [socket, other] of [[near, far], [far, near]] as const) {
      sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => {
        sockets.delete(socket);
        other.destroy();
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const cut = () => {
    isCut = true;
    for (const socket of sockets) socket.destroy();
  };
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}${pathname}`,
    cut,
    silence: () => sockets.forEach((socket) => socket.unpipe().pause()),
    restore: () => (isCut = false),
    close: () => {
      cut();
      server.close();
    },
  };
}
