/** Ways to log in, the device flow of the CLI, and who is logged in (http §15.1, §15.2). */
import * as z from "zod";
import { plainText, slug, title } from "../shared/index.ts";
import { endpoint } from "./endpoint.ts";
import { authFlowErrorBody, exampleId, exampleTime, id, timestamp } from "./fields.ts";

export const authMethodsView = z
  .object({ github: z.boolean(), magic_link: z.boolean(), local_link: z.boolean() })
  .meta({ id: "AuthMethods" });
export type AuthMethods = z.output<typeof authMethodsView>;

/** A path of this server. Browsers read `//` and `/\` as another host and drop tabs and line breaks before they look. */
export function isLocalPath(path: string): boolean {
  // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
  return /^\/(?![/\\])/.test(path) && !/[\\\u0000-\u001f\u007f]/.test(path) && path.length <= 2_048;
}

const next = z.string().refine(isLocalPath, "must be a path of this server, such as /runs").optional();

/** Lower case and trimmed: one address, one user. */
export const email = plainText()
  .transform((text) => text.trim().toLowerCase())
  .refine(
    (text) => text.length <= 254 && /^[^\s@<>",;]+@[^\s@<>",;]+\.[^\s@<>",;.]+$|^[^\s@<>",;]+@localhost$/.test(text),
    "must be an e-mail address",
  )
  .meta({ format: "email" });

const secretText = plainText().refine((text) => text.trim() !== "" && text.length <= 4_096, "must be a token as it was given out");

/** As shown to the user: `XXXX-XXXX`. Lower case, blanks and a missing dash are forgiven. */
export const userCode = z
  .string()
  .transform((text) => text.replace(/[\s-]/g, "").toUpperCase())
  .refine((text) => /^[A-Z0-9]{8}$/.test(text), "must look like ABCD-EFGH")
  .transform((text) => `${text.slice(0, 4)}-${text.slice(4)}`);

export const githubStartBody = z.strictObject({ next });
export const inviteStartBody = z.strictObject({ token: secretText });
export const githubFinishBody = z.strictObject({
  code: plainText().optional(),
  state: plainText().optional(),
  error: plainText().optional(),
  error_description: plainText().optional(),
});
export type GithubFinishBody = z.output<typeof githubFinishBody>;
export const magicLinkStartBody = z.strictObject({ email, next });
export type MagicLinkStartBody = z.output<typeof magicLinkStartBody>;
export const magicLinkFinishBody = z.strictObject({ token: secretText });

export const redirectView = z.object({ redirect_url: z.string() }).meta({ id: "LoginRedirect" });
export const loginFinishView = z.object({ redirect_after: z.string() }).meta({ id: "LoginResult" });
export const magicLinkSentView = z
  .object({ sent: z.literal(true), email: z.string().optional(), debug_url: z.string().optional() })
  .meta({ id: "MagicLinkSent" });
export type MagicLinkSent = z.output<typeof magicLinkSentView>;

export const deviceStartView = z
  .object({
    device_code: z.string(),
    user_code: z.string(),
    verification_uri: z.string(),
    verification_uri_complete: z.string().optional(),
    expires_in_seconds: z.int(),
    interval_seconds: z.int(),
  })
  .meta({ id: "DeviceStart" });
export type DeviceStart = z.output<typeof deviceStartView>;

/** A refused body is answered with the error `invalid_request`. */
export const deviceTokenBody = z.strictObject({ device_code: secretText });
export const deviceTokenView = z
  .object({ access_token: z.string(), token_type: z.literal("bearer"), expires_in_seconds: z.int() })
  .meta({ id: "DeviceToken" });
export type DeviceToken = z.output<typeof deviceTokenView>;
export const devicePendingView = z.object({ error: z.literal("authorization_pending") }).meta({ id: "DevicePending" });
export const deviceTokenErrors = ["access_denied", "expired_token", "invalid_request"] as const;
export const deviceTokenErrorView = z.object({ error: z.enum(deviceTokenErrors) }).meta({ id: "DeviceTokenError" });

export const deviceStatuses = ["pending", "approved", "denied", "consumed", "expired"] as const;
export const deviceStatusView = z.object({ status: z.enum(deviceStatuses), expires_at: timestamp.optional() }).meta({ id: "DeviceStatus" });
export type DeviceStatus = z.output<typeof deviceStatusView>;
export const deviceDecisionBody = z.strictObject({ user_code: userCode });

export const meView = z
  .object({
    user_id: z.string(),
    display_name: z.string(),
    profile_image_url: z.string(),
    public_url: z.string().optional(),
    org_id: z.string().optional(),
    org_name: z.string().optional(),
    org_slug: z.string().optional(),
    role: z.string().optional(),
    permissions: z.array(z.string()).meta({ description: "every permission of the role, by its dotted name" }),
    organization_required: z.boolean(),
    project_required: z.boolean(),
    access_required: z.boolean(),
    setup_token_required: z.boolean(),
  })
  .meta({ id: "Me" });
export type Me = z.output<typeof meView>;

/** The setup token is needed in self-hosted mode only. */
export const organizationCreateBody = z.strictObject({ slug: slug(), name: title(80), setup_token: plainText().optional() });
export type OrganizationCreateBody = z.output<typeof organizationCreateBody>;
export type OrganizationCreateInput = z.input<typeof organizationCreateBody>;
export const organizationView = z.object({ id, slug: z.string(), name: z.string(), created_at: timestamp }).meta({ id: "Organization" });
export type Organization = z.output<typeof organizationView>;

const open = { family: "public", permission: "none" } as const;
const signedIn = { family: "account", permission: "none" } as const;
/** A login that is refused says why in `error_kind`. */
const flowErrors = { 401: authFlowErrorBody, 403: authFlowErrorBody, 409: authFlowErrorBody };
const exampleRedirect = { redirect_url: "https://github.com/login/oauth/authorize?client_id=example" };
const exampleSent = { sent: true, email: "ada@example.com" } as const;

export const authEndpoints = {
  methods: endpoint({
    id: "auth.methods",
    method: "GET",
    path: "/auth/methods",
    ...open,
    summary: "Say which ways to log in work",
    response: authMethodsView,
    statuses: [200],
    example: { response: { github: false, magic_link: true, local_link: true } },
  }),
  githubStart: endpoint({
    id: "auth.githubStart",
    method: "POST",
    path: "/auth/github/start",
    ...open,
    summary: "Begin a login with GitHub",
    body: githubStartBody,
    response: redirectView,
    statuses: [200],
    otherResponses: flowErrors,
    errorStatuses: [501],
    example: { body: { next: "/runs" }, response: exampleRedirect },
  }),
  githubInviteStart: endpoint({
    id: "auth.githubInviteStart",
    method: "POST",
    path: "/auth/github/invite/start",
    ...open,
    summary: "Begin a login with GitHub that accepts an invitation",
    body: inviteStartBody,
    response: redirectView,
    statuses: [200],
    otherResponses: flowErrors,
    errorStatuses: [501],
    example: { body: { token: "hlmr_inv_0f1e2d" }, response: exampleRedirect },
  }),
  githubFinish: endpoint({
    id: "auth.githubFinish",
    method: "POST",
    path: "/auth/github/finish",
    ...open,
    credential: "flow_cookie",
    summary: "Finish a login with GitHub and set the session cookie",
    body: githubFinishBody,
    response: loginFinishView,
    statuses: [200],
    otherResponses: flowErrors,
    errorStatuses: [501],
    example: { body: { code: "c0de", state: "5tate" }, response: { redirect_after: "/runs" } },
  }),
  magicLinkStart: endpoint({
    id: "auth.magicLinkStart",
    method: "POST",
    path: "/auth/magic-link/start",
    ...open,
    summary: "Send a login link by mail; unknown addresses get the same answer",
    body: magicLinkStartBody,
    response: magicLinkSentView,
    statuses: [200],
    example: { body: { email: "ada@example.com", next: "/runs" }, response: exampleSent },
  }),
  magicLinkInviteStart: endpoint({
    id: "auth.magicLinkInviteStart",
    method: "POST",
    path: "/auth/magic-link/invite/start",
    ...open,
    summary: "Send a login link that accepts an invitation",
    body: inviteStartBody,
    response: magicLinkSentView,
    statuses: [200],
    otherResponses: flowErrors,
    example: { body: { token: "hlmr_inv_0f1e2d" }, response: exampleSent },
  }),
  magicLinkFinish: endpoint({
    id: "auth.magicLinkFinish",
    method: "POST",
    path: "/auth/magic-link/finish",
    ...open,
    summary: "Exchange the token of a login link and set the session cookie",
    body: magicLinkFinishBody,
    response: loginFinishView,
    statuses: [200],
    otherResponses: flowErrors,
    example: { body: { token: "hlmr_ml_0f1e2d" }, response: { redirect_after: "/runs" } },
  }),
  localLogin: endpoint({
    id: "auth.localLogin",
    method: "GET",
    path: "/dev/login",
    family: "root",
    permission: "none",
    credential: "login_token",
    summary: "Exchange a one-time local login link: sets the session cookie and redirects to /",
    query: z.object({ token: secretText }),
    statuses: [302],
    otherResponses: { 401: authFlowErrorBody },
  }),
  deviceStart: endpoint({
    id: "auth.deviceStart",
    method: "POST",
    path: "/auth/device/start",
    ...open,
    summary: "Begin a device login; no body is needed",
    response: deviceStartView,
    statuses: [201],
    example: {
      response: {
        device_code: "hlmr_dc_0f1e2d",
        user_code: "ABCD-EFGH",
        verification_uri: "https://helmr.example.com/auth/device",
        verification_uri_complete: "https://helmr.example.com/auth/device?code=ABCD-EFGH",
        expires_in_seconds: 600,
        interval_seconds: 5,
      },
    },
  }),
  deviceToken: endpoint({
    id: "auth.deviceToken",
    method: "POST",
    path: "/auth/device/token",
    ...open,
    summary: "Exchange a device code once it is approved",
    body: deviceTokenBody,
    response: deviceTokenView,
    statuses: [200],
    otherResponses: { 202: devicePendingView, 400: deviceTokenErrorView },
    example: {
      body: { device_code: "hlmr_dc_0f1e2d" },
      response: { access_token: "kV9c".repeat(11), token_type: "bearer", expires_in_seconds: 2_592_000 },
    },
  }),
  deviceStatus: endpoint({
    id: "auth.deviceStatus",
    method: "GET",
    path: "/auth/device/status",
    ...signedIn,
    summary: "Say how far a device login is",
    query: z.object({ user_code: userCode }),
    response: deviceStatusView,
    statuses: [200],
    example: { response: { status: "pending", expires_at: exampleTime } },
  }),
  deviceApprove: endpoint({
    id: "auth.deviceApprove",
    method: "POST",
    path: "/auth/device/approve",
    ...signedIn,
    summary: "Approve a device login",
    body: deviceDecisionBody,
    response: deviceStatusView,
    statuses: [200],
    example: { body: { user_code: "ABCD-EFGH" }, response: { status: "approved" } },
  }),
  deviceDeny: endpoint({
    id: "auth.deviceDeny",
    method: "POST",
    path: "/auth/device/deny",
    ...signedIn,
    summary: "Deny a device login",
    body: deviceDecisionBody,
    response: deviceStatusView,
    statuses: [200],
    example: { body: { user_code: "ABCD-EFGH" }, response: { status: "denied" } },
  }),
  logout: endpoint({
    id: "auth.logout",
    method: "POST",
    path: "/auth/logout",
    ...open,
    credential: "any_session",
    summary: "Revoke the session of the cookie and of the bearer; no body is needed",
    statuses: [204],
  }),
  me: endpoint({
    id: "auth.me",
    method: "GET",
    path: "/me",
    ...signedIn,
    summary: "Say who is logged in",
    response: meView,
    statuses: [200],
    example: {
      response: {
        user_id: exampleId.user,
        display_name: "Ada",
        profile_image_url: "",
        org_id: exampleId.organization,
        org_name: "Example",
        org_slug: "example",
        role: "viewer",
        permissions: ["runs.read"],
        organization_required: false,
        project_required: false,
        access_required: false,
        setup_token_required: false,
      },
    },
  }),
  createOrganization: endpoint({
    id: "auth.createOrganization",
    method: "POST",
    path: "/organizations",
    ...signedIn,
    summary: "Create the organization; the caller becomes its owner",
    body: organizationCreateBody,
    response: organizationView,
    statuses: [201],
    errorStatuses: [409],
    example: {
      body: { slug: "example", name: "Example", setup_token: "s3tup" },
      response: { id: exampleId.organization, slug: "example", name: "Example", created_at: exampleTime },
    },
  }),
};
