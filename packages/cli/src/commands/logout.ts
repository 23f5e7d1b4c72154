import { command, optionalArgument } from "../command.ts";
import { Failure, HttpFailure } from "../failure.ts";
import { ApiClient } from "../http/api-client.ts";
import { chosenUrl } from "../settings/access.ts";
import { deleteToken, savedToken } from "../settings/credential-store.ts";
import { argumentUrl } from "./login.ts";

export const logout = command({
  name: "logout",
  summary: "revoke the saved login and delete it",
  examples: [{ says: "from the host of the last login", command: "helmr logout" }],
  needs: "nothing",
  args: { url: optionalArgument("URL", "base URL of the server") },
  flags: {},
  async run(context) {
    const url = argumentUrl(context.args.url, context.apiUrlFlag) ?? (await chosenUrl(context.host, context.apiUrlFlag));
    if (url === undefined) throw new Failure("no saved login");
    const token = await savedToken(context.host, url);
    if (token === undefined) throw new Failure(`not logged in to ${url}`);
    const api = new ApiClient({ baseUrl: url, credential: { kind: "login", token }, signal: context.signal });
    try {
      await api.call("auth.logout");
    } catch (error) {
      // A login that the server no longer knows is revoked already.
      if (!(error instanceof HttpFailure) || error.status !== 401) throw error;
    }
    await deleteToken(context.host, url);
    await context.out.line(`Logged out from ${url}`);
  },
});
