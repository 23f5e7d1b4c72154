/**
 * The OpenAPI 3.1 document of the public API, made from the endpoint table. What an endpoint needs is one component each (parameters,
 * request body, responses), because environment routes stand under two or four paths.
 */
import { apiVersion, errorDefinitions, type ErrorCode, type Json, type JsonObject } from "../shared/index.ts";
import type { Endpoint, PublicCredential } from "./endpoint.ts";
import { errorBody } from "./fields.ts";
import { parameterSchemas, reference, SchemaComponents } from "./openapi-schemas.ts";
import { externalIdQuery, pathParams, type RoutePath, routePaths, scopeParams } from "./paths.ts";
import { apiEndpointList } from "./table.ts";

const resourceDescriptions: Record<string, string> = {
  tasks: "Tasks of the current deployment",
  sandboxes: "Sandboxes of the current deployment",
  sessions: "Durable threads of runs",
  streams: "Named, numbered logs of a session",
  runs: "Executions of tasks, their events and logs",
  publicAccessTokens: "Tokens for browsers, bound to one stream",
  tokens: "Promises that an outside party completes",
  schedules: "Cron schedules",
  deployments: "Immutable builds of a project",
  secrets: "Secrets of an environment; values are never returned",
  workspaces: "Durable file trees and their mounts",
  files: "Files of a workspace version or mount",
  versions: "Versions of a workspace",
  execs: "Processes in a workspace",
  ptys: "Terminals in a workspace",
  auth: "Login and the account",
  projects: "Projects",
  environments: "Environments of a project",
  apiKeys: "API keys of an environment",
  members: "Members of the organization",
  invitations: "Invitations to the organization",
};

const securitySchemes: Record<string, JsonObject> = {
  apiKey: { type: "http", scheme: "bearer", description: "an API key, `hlmr_sk_...`" },
  sessionToken: { type: "http", scheme: "bearer", description: "a user session's token from the device login" },
  sessionCookie: {
    type: "apiKey",
    in: "cookie",
    name: "__Host-helmr_session",
    description: "a user session; the cookie is `helmr_session_dev` on plain http",
  },
  streamToken: { type: "http", scheme: "bearer", description: "a public access token, `hlmr_pat_...`" },
  completionToken: { type: "http", scheme: "bearer", description: "a token's own public access token, `hlmr_public_access_...`" },
  flowCookie: { type: "apiKey", in: "cookie", name: "__Host-helmr_auth_flow", description: "`helmr_auth_flow_dev` on plain http" },
};

const publicSecurity: Record<PublicCredential, Json> = {
  none: [],
  stream_token: [{ streamToken: [] }],
  completion_token: [{ completionToken: [] }],
  callback_secret: [],
  flow_cookie: [{ flowCookie: [] }],
  login_token: [],
  any_session: [{ sessionCookie: [] }, { sessionToken: [] }, {}],
};

function security(endpoint: Endpoint, route: RoutePath): Json {
  const callers: Record<RoutePath["caller"], Json> = {
    api_key: [{ apiKey: [] }],
    user_session: [{ sessionCookie: [] }, { sessionToken: [] }],
    either: [{ apiKey: [] }, { sessionCookie: [] }, { sessionToken: [] }],
    public: publicSecurity[endpoint.credential ?? "none"],
  };
  return callers[route.caller];
}

const statusTexts: Record<number, string> = {
  101: "The connection is a WebSocket from here on",
  200: "OK",
  201: "Created",
  202: "Accepted: not done yet",
  204: "Done; no content",
  206: "A part of the content",
  302: "Redirect",
  400: "The request breaks a rule",
  401: "The credential is missing or invalid",
  403: "The credential does not allow this",
  404: "Not found, or of another scope",
  409: "Conflict with the present state",
  410: "Gone: expired",
  413: "The body is too large",
  416: "The range cannot be satisfied",
  422: "The target has the wrong kind",
  426: "Only as a WebSocket",
  500: "A fault of the server",
  501: "Not configured on this server",
  503: "Not available at the moment",
  507: "The disk of the machine is full",
};

/** Everything that is referenced from operations, filled while the paths are made. */
class Document {
  readonly schemas = new SchemaComponents();
  readonly parameters: Record<string, JsonObject> = {
    HelmrApiVersion: {
      name: "Helmr-API-Version",
      in: "header",
      description: "any other value than the current version is refused",
      schema: { type: "string", enum: [apiVersion] },
    },
    LastEventId: {
      name: "Last-Event-ID",
      in: "header",
      description: "where a follower resumes; wins over cursor",
      schema: { type: "string" },
    },
    ByExternalId: this.#queryParameter("external_id"),
    project: this.#pathParameter("project", "id or slug of the project"),
    environment: this.#pathParameter("environment", "id or slug of the environment"),
  };
  readonly requestBodies: Record<string, JsonObject> = {};
  readonly responses: Record<string, JsonObject> = {};

  constructor() {
    this.schemas.convert(errorBody);
    for (const status of [400, 401, 403, 404, 409, 413, 416, 426, 500, 501, 503, 507])
      this.responses[`Error${status}`] = errorResponse(status, []);
  }

  #queryParameter(name: string): JsonObject {
    const [parameter] = parameterSchemas(this.schemas, externalIdQuery);
    return {
      name,
      in: "query",
      required: true,
      ...(parameter?.description ? { description: parameter.description } : {}),
      schema: { type: "string" },
    };
  }

  #pathParameter(name: "project" | "environment", description: string): JsonObject {
    const schema = parameterSchemas(this.schemas, scopeParams).find((parameter) => parameter.name === name)?.schema ?? { type: "string" };
    return { name, in: "path", required: true, description, schema };
  }

  /** The endpoint's own parameters; those of the route's prefix come from `operation`. */
  parametersOf(endpoint: Endpoint): { name: string; in: string; key: string }[] {
    const list: { name: string; in: string; key: string }[] = [];
    for (const [place, schema] of [
      ["path", endpoint.params],
      ["query", endpoint.query],
    ] as const) {
      if (!schema) continue;
      for (const { name, required, description, schema: own } of parameterSchemas(this.schemas, schema)) {
        const key = `${endpoint.id}.${name}`;
        this.parameters[key] = {
          name,
          in: place,
          ...(required || place === "path" ? { required: true } : {}),
          ...(description ? { description } : {}),
          schema: own,
        };
        list.push({ name, in: place, key });
      }
    }
    return list;
  }

  requestBodyOf(endpoint: Endpoint): JsonObject | undefined {
    if (!endpoint.body) return undefined;
    const schema = this.schemas.named(`${pascal(endpoint.id)}Request`, endpoint.body);
    const example = endpoint.example?.body as Json | undefined;
    const json: JsonObject = { schema, ...(example === undefined ? {} : { example: plain(example) }) };
    const content: JsonObject =
      endpoint.media?.request === "multipart/form-data" ? { "multipart/form-data": multipart(schema) } : { "application/json": json };
    this.requestBodies[endpoint.id] = { required: true, content };
    return { $ref: `#/components/requestBodies/${endpoint.id}` };
  }

  responsesOf(endpoint: Endpoint): JsonObject {
    const responses: JsonObject = {};
    for (const status of endpoint.statuses) responses[status] = this.#response(endpoint, status, this.#success(endpoint, status));
    const codes = groupByStatus(endpoint.errors ?? []);
    const statuses = new Set([400]);
    // 503: the store of identities cannot be reached.
    if (endpoint.family !== "public" || endpoint.credential !== undefined) for (const status of [401, 403, 503]) statuses.add(status);
    if (pathParams(endpoint.path).length > 0) statuses.add(404);
    for (const status of [...codes.keys(), ...(endpoint.errorStatuses ?? []), 500]) statuses.add(status);
    for (const status of statuses) {
      const own = codes.get(status) ?? [];
      responses[status] =
        own.length > 0 ? this.#response(endpoint, status, errorResponse(status, own)) : { $ref: `#/components/responses/Error${status}` };
    }
    for (const [status, schema] of Object.entries(endpoint.otherResponses ?? {})) {
      const content = { "application/json": { schema: this.schemas.convert(schema) } };
      responses[status] = this.#response(endpoint, Number(status), { description: statusTexts[Number(status)] ?? status, content });
    }
    return responses;
  }

  #response(endpoint: Endpoint, status: number, response: JsonObject): JsonObject {
    const key = `${endpoint.id}.${status}`;
    this.responses[key] = response;
    return { $ref: `#/components/responses/${key}` };
  }

  #success(endpoint: Endpoint, status: number): JsonObject {
    const content: JsonObject = {};
    if (endpoint.response) {
      const example = endpoint.example?.response as Json | undefined;
      const schema = this.schemas.named(`${pascal(endpoint.id)}Response`, endpoint.response);
      content["application/json"] = { schema, ...(example === undefined ? {} : { example: plain(example) }) };
    }
    if (endpoint.media?.response) content[endpoint.media.response] = {};
    if (endpoint.events) content["text/event-stream"] = this.#events(endpoint.events);
    const headers: JsonObject = { "Helmr-API-Version": { $ref: "#/components/headers/HelmrApiVersion" } };
    for (const [name, description] of Object.entries(endpoint.responseHeaders ?? {}))
      headers[name] = { description, schema: { type: "string" } };
    return {
      description: statusTexts[status] ?? String(status),
      ...(endpoint.family === "root" ? {} : { headers }),
      ...(Object.keys(content).length > 0 ? { content } : {}),
    };
  }

  /** OpenAPI 3.1 has no words for event streams: the data of each event is given in an extension. */
  #events(events: NonNullable<Endpoint["events"]>): JsonObject {
    const data: JsonObject = {};
    for (const [name, schema] of Object.entries(events)) data[name] = this.schemas.convert(schema);
    return { schema: { type: "string", description: "server-sent events" }, "x-helmr-events": data };
  }
}

function multipart(metadata: JsonObject): JsonObject {
  return {
    schema: {
      type: "object",
      properties: { metadata, deployment_source: { type: "string", contentMediaType: "application/x-tar" } },
      required: ["metadata", "deployment_source"],
    },
    encoding: { metadata: { contentType: "application/json" }, deployment_source: { contentType: "application/x-tar" } },
  };
}

/** The status a code has on this wire: the one exception is a public token that is known but not allowed, which is also 403. */
function groupByStatus(codes: readonly ErrorCode[]): Map<number, ErrorCode[]> {
  const groups = new Map<number, ErrorCode[]>();
  const add = (status: number, code: ErrorCode) => groups.set(status, [...(groups.get(status) ?? []), code]);
  for (const code of codes) {
    add(errorDefinitions[code].status, code);
    if (code === "token_scope_denied") add(403, code);
  }
  return groups;
}

function errorResponse(status: number, codes: readonly ErrorCode[]): JsonObject {
  const json: JsonObject = { schema: reference("Error") };
  if (codes.length > 0) {
    json["examples"] = Object.fromEntries(codes.map((code) => [code, { value: { error: errorDefinitions[code].message, code } }]));
  }
  const headers: JsonObject = status === 202 ? { headers: { "Retry-After": { description: "seconds", schema: { type: "integer" } } } } : {};
  const listed = codes.length > 0 ? `: ${codes.join(", ")}` : "";
  return { description: `${statusTexts[status] ?? status}${listed}`, ...headers, content: { "application/json": json } };
}

function operation(document: Document, endpoint: Endpoint, route: RoutePath): JsonObject {
  const names = new Set(pathParams(route.path));
  const own = document.parametersOf(endpoint).filter((parameter) => parameter.in !== "path" || names.has(parameter.name));
  const known = new Set(own.filter((parameter) => parameter.in === "path").map((parameter) => parameter.name));
  const keys = [
    ...["project", "environment"].filter((name) => names.has(name) && !known.has(name)),
    ...own.map((parameter) => parameter.key),
    ...(route.byExternalId ? ["ByExternalId"] : []),
    ...(endpoint.events ? ["LastEventId"] : []),
    ...(endpoint.family === "root" ? [] : ["HelmrApiVersion"]),
  ];
  const body = document.requestBodyOf(endpoint);
  return {
    operationId: operationId(endpoint, route),
    tags: [resourceOf(endpoint)],
    summary: endpoint.summary,
    ...(endpoint.permission === "none" ? {} : { description: permissionText(endpoint.permission) }),
    security: security(endpoint, route),
    ...(keys.length > 0 ? { parameters: keys.map((key) => ({ $ref: `#/components/parameters/${key}` })) } : {}),
    ...(body ? { requestBody: body } : {}),
    responses: document.responsesOf(endpoint),
  };
}

function permissionText(rule: Exclude<Endpoint["permission"], "none">): string {
  if (typeof rule === "string") return `Needs the permission ${rule}.`;
  return "all" in rule ? `Needs the permissions ${rule.all.join(" and ")}.` : `Needs one of the permissions ${rule.any.join(", ")}.`;
}

const resourceOf = (endpoint: Endpoint): string => endpoint.id.slice(0, endpoint.id.indexOf("."));

/** `sessions.get`, `sessions.get.byExternalId`, each also with `.inEnvironment` for user sessions. */
function operationId(endpoint: Endpoint, route: RoutePath): string {
  const prefixed = endpoint.family === "environment" && route.caller === "user_session";
  return [endpoint.id, ...(route.byExternalId ? ["byExternalId"] : []), ...(prefixed ? ["inEnvironment"] : [])].join(".");
}

function pascal(id: string): string {
  return id.replace(/(?:^|\.)([a-z])/g, (_match, letter: string) => letter.toUpperCase());
}

/** Without members that are undefined, as they would travel. */
function plain(value: Json): Json {
  return JSON.parse(JSON.stringify(value)) as Json;
}

export function openApiDocument(endpoints: readonly Endpoint[] = apiEndpointList): JsonObject {
  const document = new Document();
  const paths: Record<string, JsonObject> = {};
  for (const endpoint of endpoints) {
    for (const route of routePaths(endpoint)) {
      (paths[route.path] ??= {})[endpoint.method.toLowerCase()] = operation(document, endpoint, route);
    }
  }
  const resources = [...new Set(endpoints.map(resourceOf))];
  return {
    openapi: "3.1.0",
    info: {
      title: "Helmr API",
      version: apiVersion,
      description:
        "Routes of an environment stand under /api for API keys, whose scope is the key's, and under /api/projects/{project}/environments/{environment} for user sessions.",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    servers: [{ url: "/", description: "the server that serves this document" }],
    tags: resources.map((name) => ({ name, description: resourceDescriptions[name] ?? name })),
    paths,
    components: {
      schemas: sorted(document.schemas.schemas),
      parameters: document.parameters,
      requestBodies: document.requestBodies,
      responses: document.responses,
      headers: { HelmrApiVersion: { description: "the version of this document", schema: { type: "string", enum: [apiVersion] } } },
      securitySchemes,
    },
  };
}

function sorted(schemas: Record<string, JsonObject>): JsonObject {
  return Object.fromEntries(Object.entries(schemas).sort(([left], [right]) => (left < right ? -1 : 1)));
}
