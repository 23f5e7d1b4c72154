import { expect, test } from "vitest";
import { paths } from "./paths.ts";

test("every address of the console", () => {
  const scope = { project: "shop", environment: "production" };
  const all = Object.fromEntries(
    Object.entries(paths).map(([name, path]) => [name, (path as (...parts: unknown[]) => string)(scope, "a/b")]),
  );
  expect(all).toMatchInlineSnapshot(`
    {
      "apiKeys": "/p/shop/production/api-keys",
      "deployment": "/p/shop/production/deployments/a%2Fb",
      "deployments": "/p/shop/production/deployments",
      "home": "/",
      "login": "/login",
      "members": "/p/shop/production/members",
      "overview": "/p/shop/production",
      "run": "/p/shop/production/runs/a%2Fb",
      "runs": "/p/shop/production/runs",
      "sandboxes": "/p/shop/production/sandboxes",
      "schedules": "/p/shop/production/schedules",
      "secrets": "/p/shop/production/secrets",
      "session": "/p/shop/production/sessions/a%2Fb",
      "sessions": "/p/shop/production/sessions",
      "settings": "/p/shop/production/settings",
      "task": "/p/shop/production/tasks/a%2Fb",
      "tasks": "/p/shop/production/tasks",
      "token": "/p/shop/production/tokens/a%2Fb",
      "tokens": "/p/shop/production/tokens",
      "welcome": "/welcome",
      "workspace": "/p/shop/production/workspaces/a%2Fb",
      "workspaces": "/p/shop/production/workspaces",
    }
  `);
});
