/** The port to whatever relays a guest's connections (network/): it decides, connects and answers DNS. */
import type { Duplex } from "node:stream";
import type { NetworkPolicy } from "@helmr/protocol/worker";

export interface NetworkPeer {
  /** Serves one machine's network channel until `close`, or the channel's end. */
  attach(channel: Duplex, policy: NetworkPolicy, extra: { leaseId: string }): NetworkAttachment;
}

export interface NetworkAttachment {
  close(): void;
}

/** No network: what a guest sends is dropped. */
export const noNetwork: NetworkPeer = {
  attach(channel) {
    channel.on("error", () => {});
    channel.resume();
    return { close: () => channel.destroy() };
  },
};
