import { describe, expect, test } from "vitest";
import { cookiesFor } from "./cookies.ts";
import { changesState, refuseForeignOrigin, refuseForeignPage } from "./origin.ts";

describe("cookies", () => {
  const secure = cookiesFor(true);
  const plain = cookiesFor(false);

  test("have the attributes of http §1.4 and §15.2", () => {
    expect(secure.setSession("t")).toBe("__Host-helmr_session=t; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=2592000");
    expect(plain.setSession("t")).toBe("helmr_session_dev=t; Path=/; HttpOnly; SameSite=Lax; Max-Age=2592000");
    expect(secure.setFlow("f")).toBe("__Host-helmr_auth_flow=f; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=600");
    expect(plain.setFlow("f")).toBe("helmr_auth_flow_dev=f; Path=/; HttpOnly; SameSite=Lax; Max-Age=600");
    expect(secure.clearSession).toBe("__Host-helmr_session=; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=0");
    // A prefix of __Host- with a Domain would be refused by browsers.
    for (const cookie of [secure.setSession("t"), secure.setFlow("t")]) expect(cookie).not.toMatch(/domain/i);
  });

  test.each([
    [undefined, undefined],
    ["", undefined],
    ["other=1", undefined],
    ["helmr_session_dev=", undefined],
    ["helmr_session_dev=abc", "abc"],
    ["other=1; helmr_session_dev=abc ;x", "abc"],
    ["xhelmr_session_dev=abc", undefined],
    ["helmr_session_dev=first; helmr_session_dev=second", "first"],
    ["__Host-helmr_session=abc", undefined],
  ])("header %j holds the session %j", (header, value) => expect(plain.session(header)).toBe(value));

  test("on https only the __Host- name counts", () => {
    expect(secure.session("helmr_session_dev=planted; __Host-helmr_session=real")).toBe("real");
    expect(secure.session("helmr_session_dev=planted")).toBeUndefined();
  });
});

describe("origins", () => {
  const allowed = new Set(["https://helmr.example.com"]);

  test("requests that change state by a cookie need our origin", () => {
    expect(refuseForeignOrigin("https://helmr.example.com", allowed)).toBeUndefined();
    for (const origin of [
      undefined,
      "",
      "null",
      "http://helmr.example.com",
      "https://helmr.example.com:8443",
      "https://helmr.example.com.evil.example",
      "https://HELMR.example.com",
    ]) {
      expect(refuseForeignOrigin(origin, allowed)).toMatchObject({ status: 403 });
    }
  });

  test("programs without an origin may log in, foreign pages may not", () => {
    expect(refuseForeignPage(undefined, allowed)).toBeUndefined();
    expect(refuseForeignPage("null", allowed)).toMatchObject({ status: 403 });
  });

  test("every method but the safe ones changes state, opening a channel too", () => {
    expect(changesState("UPGRADE")).toBe(true);
    expect(["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "QUERY"].filter(changesState)).toEqual([
      "POST",
      "PUT",
      "PATCH",
      "DELETE",
      "QUERY",
    ]);
  });
});
