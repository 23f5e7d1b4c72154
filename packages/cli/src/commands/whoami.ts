import type { Me } from "@helmr/protocol/api";
import { command, jsonFlag } from "../command.ts";
import { ApiClient } from "../http/api-client.ts";
import { credentialFor, requiredUrl } from "../settings/access.ts";

/** The members a person's answer always has, empty (cli §5.1). */
const nobody: Omit<Me, "permissions"> & { permissions: null } = {
  user_id: "",
  display_name: "",
  profile_image_url: "",
  permissions: null,
  organization_required: false,
  project_required: false,
  access_required: false,
  setup_token_required: false,
};

export const whoami = command({
  name: "whoami",
  summary: "say which credential is used, and for which host",
  details: "With --json the server is asked, so a wrong API key fails.",
  examples: [
    { says: "login or api_key, and the host", command: "helmr whoami" },
    { says: "user, organization, role and permissions, or what the key may do and where", command: "helmr whoami --json" },
  ],
  needs: "nothing",
  args: {},
  flags: jsonFlag,
  async run(context) {
    const { flags, out } = context;
    const url = await requiredUrl(context.host, context.apiUrlFlag);
    const credential = await credentialFor(context.host, url);
    const api = new ApiClient({ baseUrl: url, credential, signal: context.signal });
    const source = credential.kind === "login" ? "login" : "api_key";
    if (source === "login") {
      const me = await api.call("auth.me");
      return flags.json ? out.json({ ...me, auth_source: source, api_url: url }) : out.line(`${source} ${url}`);
    }
    if (!flags.json) return out.line(`${source} ${url}`);
    const { name, project, environment, permissions } = await api.call("apiKeys.self");
    const key = { name, project: project.slug, environment: environment.slug, permissions };
    return out.json({ ...nobody, auth_source: source, api_url: url, api_key: key });
  },
});
