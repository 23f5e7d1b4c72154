import { describe, expect, test } from "vitest";
import { ConfigError, describeConfig, readConfig } from "./config.ts";

const least = { HELMR_DATABASE_URL: "postgres://u:p@h/d", HELMR_STATE_DIR: "/var/lib/helmr" };

describe("readConfig()", () => {
  test("derives what is not given", () => {
    const config = readConfig({ ...least, PORT: "9000" });
    expect(config).toMatchObject({
      publicUrl: "http://localhost:9000",
      workerUrl: "http://localhost:9000",
      keyFile: "/var/lib/helmr/keys.json",
      blobDirectory: "/var/lib/helmr/blobs",
    });
    expect(Object.isFrozen(config)).toBe(true);
  });

  test("reports every problem at once", () => {
    const read = () => readConfig({ PORT: "70000", HELMR_PUBLIC_URL: "ftp://x", HELMR_MODE: "other" });
    expect(read).toThrow(ConfigError);
    try {
      read();
    } catch (error) {
      expect((error as ConfigError).problems).toHaveLength(5);
      expect(String(error)).toMatch(/PORT must be an integer from 0 to 65535, not "70000"/);
    }
  });

  test("never prints a secret", () => {
    expect(describeConfig(readConfig({ ...least, HELMR_ENROLLMENT_SECRET: "sesame" }))).not.toMatch(/sesame|u:p/);
  });

  test("blank counts as absent; a trailing slash of a URL goes", () => {
    expect(readConfig({ ...least, PORT: " ", HELMR_PUBLIC_URL: "https://helmr.example.com/" })).toMatchObject({
      port: 8787,
      publicUrl: "https://helmr.example.com",
    });
  });

  test("refuses half a GitHub app, origins with paths and SMTP URLs without repeating the password", () => {
    const problems = (environment: Record<string, string>) => {
      try {
        readConfig({ ...least, ...environment });
        return [];
      } catch (error) {
        return (error as ConfigError).problems;
      }
    };
    expect(problems({ HELMR_GITHUB_CLIENT_ID: "x" })[0]).toMatch(/belong together/);
    expect(problems({ HELMR_CORS_ORIGINS: "https://a.example.com, https://b.example.com/x" })[0]).toMatch(
      /not "https:\/\/b.example.com\/x"/,
    );
    expect(problems({ HELMR_SMTP_URL: "http://user:sesame@host" })).toEqual([
      "HELMR_SMTP_URL must be a URL such as smtp://user:password@host:587",
    ]);
    expect(readConfig({ ...least, HELMR_CORS_ORIGINS: "https://a.example.com/,http://b:1" }).corsOrigins).toEqual([
      "https://a.example.com",
      "http://b:1",
    ]);
  });
});
