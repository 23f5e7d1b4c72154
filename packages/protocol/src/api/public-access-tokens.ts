/** Tokens that let a browser send to one input stream or read one output stream (http §5.3). */
import * as z from "zod";
import { externalId, filledText, int32Max, integer, plainText, timestampValue, uuidValue } from "../shared/index.ts";
import { endpoint } from "./endpoint.ts";
import { exampleId, exampleTime, id, timestamp } from "./fields.ts";

export const publicAccessScopeTypes = ["session.input.send", "session.output.read"] as const;
export type PublicAccessScopeType = (typeof publicAccessScopeTypes)[number];

const sessionRef = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("id"), id: uuidValue() }),
  z.strictObject({
    type: z.literal("external_id"),
    external_id: externalId().refine((text) => text !== undefined, "must not be blank"),
  }),
]);

/** A stream that cannot exist is 404 `stream_not_found`, so its name is not checked against the pattern. */
export const publicAccessScopeBody = z.strictObject({
  type: z.enum(publicAccessScopeTypes),
  stream: filledText(),
  correlation_id: plainText()
    .transform((text) => (text === "" ? undefined : text))
    .optional(),
  session: sessionRef,
});
export type PublicAccessScopeBody = z.output<typeof publicAccessScopeBody>;

/** A user session names the scope here, with both ids; an API key names neither (http §1.3). */
export const publicAccessTokenCreateBody = z.strictObject({
  project_id: plainText().optional(),
  environment_id: plainText().optional(),
  scope: publicAccessScopeBody,
  expires_at: timestampValue().optional(),
  max_uses: integer(1, int32Max).optional(),
});
export type PublicAccessTokenCreateBody = z.output<typeof publicAccessTokenCreateBody>;
export type PublicAccessTokenCreateInput = z.input<typeof publicAccessTokenCreateBody>;

/** The session is always given by its id. */
export const publicAccessScopeView = z
  .object({
    type: z.enum(publicAccessScopeTypes),
    stream: z.string(),
    correlation_id: z.string().optional(),
    session: z.object({ type: z.literal("id"), id }),
  })
  .meta({ id: "PublicAccessScope" });
export type PublicAccessScope = z.output<typeof publicAccessScopeView>;

export const publicAccessTokenView = z
  .object({
    id,
    public_access_token: z.string(),
    scope: publicAccessScopeView,
    expires_at: timestamp,
    max_uses: z.int().optional(),
    created_at: timestamp,
  })
  .meta({ id: "PublicAccessToken" });
export type PublicAccessToken = z.output<typeof publicAccessTokenView>;

const exampleScope = { type: "session.input.send", stream: "approvals" } as const;

export const publicAccessTokenEndpoints = {
  create: endpoint({
    id: "publicAccessTokens.create",
    method: "POST",
    path: "/public-access-tokens",
    family: "unprefixed",
    permission: { any: ["session.input.send", "session.streams.read"] },
    summary: "Create a public access token; the permission needed follows from the scope's type",
    body: publicAccessTokenCreateBody,
    response: publicAccessTokenView,
    statuses: [201],
    errors: ["stream_not_found", "token_expired"],
    example: {
      body: { scope: { ...exampleScope, session: { type: "external_id", external_id: "order-4711" } }, max_uses: 1 },
      response: {
        id: exampleId.other,
        public_access_token: "hlmr_pat_0f1e2d",
        scope: { ...exampleScope, session: { type: "id", id: exampleId.session } },
        expires_at: exampleTime,
        max_uses: 1,
        created_at: exampleTime,
      },
    },
  }),
};

/** Which permission creating a token of this type needs. */
export const publicAccessPermission = {
  "session.input.send": "session.input.send",
  "session.output.read": "session.streams.read",
} as const satisfies Record<PublicAccessScopeType, string>;
