/** Public access tokens: for a browser that sends to one input stream or reads one output stream (sdk §9.6). */
import type { PublicAccessToken as WireToken } from "@helmr/protocol/api";
import { instantText, members, optional } from "./body-members.ts";
import type { RequestOptions } from "./request-options.ts";
import { resolveSession } from "./session-address.ts";
import type { SessionAddress } from "./session-shapes.ts";
import { streamReferenceName } from "./session-streams.ts";
import type { Transport } from "./transport.ts";

export interface PublicAccessTokenScope {
  readonly type: "session.input.send" | "session.output.read";
  readonly session: SessionAddress;
  /** A name, or a definition of the scope's direction. */
  readonly stream: string | { readonly id: string; readonly direction: "input" | "output" };
  /** Absent: any. */
  readonly correlationId?: string;
}

export interface PublicAccessTokenCreateOptions extends RequestOptions {
  readonly scope: PublicAccessTokenScope;
  /** Default: in 30 days. */
  readonly expiresAt?: string | Date;
  readonly maxUses?: number;
}

export interface PublicAccessToken {
  readonly id: string;
  readonly publicAccessToken: string;
  /** The session by its id, the stream by its name. */
  readonly scope: {
    readonly type: PublicAccessTokenScope["type"];
    readonly session: { readonly type: "id"; readonly id: string };
    readonly stream: string;
    readonly correlationId?: string;
  };
  readonly expiresAt: string;
  readonly maxUses?: number;
  readonly createdAt: string;
}

export interface AuthApi {
  createPublicToken(options: PublicAccessTokenCreateOptions): Promise<PublicAccessToken>;
}

export function authApi(transport: Transport): AuthApi {
  return Object.freeze<AuthApi>({
    async createPublicToken(options) {
      const { scope, expiresAt, maxUses, projectId, environmentId } = options;
      const session = resolveSession(scope.session);
      const body = members({
        project_id: projectId,
        environment_id: environmentId,
        scope: members({
          type: scope.type,
          session: "id" in session ? { type: "id", id: session.id } : { type: "external_id", external_id: session.externalId },
          stream: streamReferenceName(scope.stream, scope.type === "session.input.send" ? "input" : "output"),
          correlation_id: scope.correlationId,
        }),
        expires_at: instantText(expiresAt, "expiresAt"),
        max_uses: maxUses,
      });
      return tokenView(await transport.json<WireToken>({ method: "POST", path: "/public-access-tokens", body, options, unprefixed: true }));
    },
  });
}

function tokenView(wire: WireToken): PublicAccessToken {
  const { type, session, stream, correlation_id: correlationId } = wire.scope;
  return {
    id: wire.id,
    publicAccessToken: wire.public_access_token,
    scope: { type, session: { type: "id", id: session.id }, stream, ...optional("correlationId", correlationId) },
    expiresAt: wire.expires_at,
    ...optional("maxUses", wire.max_uses),
    createdAt: wire.created_at,
  };
}
