import { describe, expect, test } from "vitest";
import { type AccountConfig, accountSettings } from "./account-settings.ts";

const config: AccountConfig = {
  mode: "self_hosted",
  publicUrl: "https://helmr.example.com",
  host: "0.0.0.0",
  corsOrigins: [],
  setupToken: "",
  magicLinkDebug: false,
  githubClientId: "",
  githubClientSecret: "",
  githubUrl: "https://github.com",
  githubApiUrl: "https://api.github.com",
};
const settings = (change: Partial<AccountConfig> = {}) => accountSettings({ ...config, ...change });

describe("accountSettings()", () => {
  test("cookies follow the public URL: origin and https", () => {
    expect(settings()).toMatchObject({ secureCookies: true, cookieOrigins: new Set(["https://helmr.example.com"]) });
    expect(settings({ publicUrl: "http://helmr.example.com:8080/base" })).toMatchObject({
      secureCookies: false,
      cookieOrigins: new Set(["http://helmr.example.com:8080"]),
    });
  });

  test("CORS: the public URL's own origin unless others are given", () => {
    expect(settings().corsOrigins).toEqual(new Set(["https://helmr.example.com"]));
    expect(settings({ corsOrigins: ["https://app.example.com"] }).corsOrigins).toEqual(new Set(["https://app.example.com"]));
  });

  test("GitHub needs both halves, the setup token something in it", () => {
    expect(settings({ githubClientId: "x" })).toMatchObject({ github: undefined, setupToken: undefined });
    expect(settings({ githubClientId: "x", githubClientSecret: "y", setupToken: "t" })).toMatchObject({
      github: { clientId: "x", clientSecret: "y", url: "https://github.com", apiUrl: "https://api.github.com" },
      setupToken: "t",
    });
  });

  test.each([
    ["local", "127.0.0.1", true],
    ["local", "127.9.0.1", true],
    ["local", "localhost", true],
    ["local", "::1", true],
    ["local", "0.0.0.0", false],
    ["local", "::", false],
    ["local", "192.168.1.4", false],
    ["local", "127.evil.example", false],
    ["self_hosted", "127.0.0.1", false],
    ["managed", "127.0.0.1", false],
  ] as const)("mode %s on %s: local link %s", (mode, host, localLink) => {
    expect(settings({ mode, host, publicUrl: "http://localhost:8787" }).localLink).toBe(localLink);
  });

  test("on one machine its names are one server, on its port only", () => {
    const { cookieOrigins } = settings({ mode: "local", host: "127.0.0.1", publicUrl: "http://localhost:8787" });
    expect(cookieOrigins).toEqual(new Set(["http://localhost:8787", "http://127.0.0.1:8787", "http://[::1]:8787"]));
  });
});
