/**
 * Ports of a workspace's machine (docs/reference/workspace-extension.md): a TCP connection to one as a WebSocket, and URLs on the server's own host under
 * which a browser sees what listens there.
 */
import * as z from "zod";
import { integer } from "../shared/index.ts";
import { endpoint } from "./endpoint.ts";
import { exampleTime, timestamp } from "./fields.ts";
import { workspaceParams } from "./workspaces.ts";

const portParams = workspaceParams.extend({
  port: z
    .string()
    .regex(/^\d{1,5}$/, "invalid port")
    .transform(Number)
    .refine((port) => port >= 1 && port <= 65_535, "invalid port")
    .meta({ param: { type: "integer" } }),
});

export const previewView = z
  .object({ port: z.int(), url: z.string(), path: z.string(), expires_at: timestamp })
  .meta({ id: "PortPreview" });
export type PortPreview = z.output<typeof previewView>;

export const portEndpoints = {
  preview: endpoint({
    id: "ports.preview",
    method: "POST",
    path: "/workspaces/{id}/ports/{port}/preview",
    family: "environment",
    permission: "workspace.ports.expose",
    summary: "Make a preview URL of a port; whoever has it sees what listens there until it expires",
    params: portParams,
    body: z.strictObject({ ttl_seconds: integer(60, 7 * 86_400).default(3_600) }),
    response: previewView,
    statuses: [201],
    errors: ["workspace_not_mounted"],
    example: {
      body: {},
      response: {
        port: 5173,
        url: "https://helmr.example.com/preview/eyJ3Ij…/",
        path: "/preview/eyJ3Ij…/",
        expires_at: exampleTime,
      },
    },
  }),
  connect: endpoint({
    id: "ports.connect",
    method: "GET",
    path: "/workspaces/{id}/ports/{port}/connect",
    family: "environment",
    permission: "workspace.ports.read",
    summary: "A TCP connection to a port of the machine's loopback, as a WebSocket of binary messages",
    params: portParams,
    statuses: [101],
    errors: ["workspace_not_mounted"],
    errorStatuses: [426, 503],
  }),
};
