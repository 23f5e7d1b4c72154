/** Debian's chromium for the console: every fault that a page reports is kept, so that a test can demand that there is none. */
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import type { AxeResults } from "axe-core";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";

const chromiumPath = "/usr/bin/chromium";

/** The end of every wait in a page; on a loaded machine a page may take seconds. */
export const pageDeadlineMs = 15_000;

export interface ConsoleBrowser {
  browser: Browser;
  context: BrowserContext;
  page: Page;
  /** Errors of the page: thrown, logged, or refused by its policy. */
  faults: string[];
  close(): Promise<void>;
}

export interface BrowserOptions {
  url: string;
  width?: number;
  height?: number;
  scheme?: "light" | "dark";
}

export async function openConsoleBrowser({ url, width = 1440, height = 900, scheme = "light" }: BrowserOptions): Promise<ConsoleBrowser> {
  const browser = await chromium.launch({
    executablePath: chromiumPath,
    // The tests run as root, where chromium has no sandbox; the only pages it opens are ours.
    args: ["--no-sandbox", "--disable-dev-shm-usage"],
  });
  const context = await browser.newContext({
    baseURL: url,
    viewport: { width, height },
    colorScheme: scheme,
    reducedMotion: "reduce",
    locale: "en-GB",
    timezoneId: "Europe/Berlin",
    permissions: ["clipboard-read", "clipboard-write"],
  });
  context.setDefaultTimeout(pageDeadlineMs);
  const faults: string[] = [];
  const page = await context.newPage();
  page.on("pageerror", (error) => faults.push(`thrown: ${error.message}`));
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") faults.push(`${message.text()} (${message.location().url})`);
  });
  return { browser, context, page, faults, close: () => browser.close() };
}

/** A request of the person who is signed in. */
export async function asUser<T>(page: Page, method: string, path: string, body?: unknown): Promise<T> {
  const headers = { origin: new URL(page.url()).origin, "content-type": "application/json" };
  const answer = await page.request.fetch(new URL(path, page.url()).href, {
    method,
    headers,
    ...(body === undefined ? {} : { data: JSON.stringify(body) }),
  });
  if (!answer.ok()) throw new TypeError(`${method} ${path}: ${answer.status()} ${await answer.text()}`);
  return answer.status() === 204 ? (undefined as T) : ((await answer.json()) as T);
}

interface Axe {
  axe: { run(options: object): Promise<AxeResults> };
}

let axeSource: Promise<string> | undefined;

/** What axe finds wrong with the page as it stands: rules of WCAG 2 up to AA (or only some), with the elements that break them. */
export async function violationsOf(page: Page, { rules }: { rules?: string[] } = {}): Promise<string[]> {
  axeSource ??= readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
  // Evaluated, not added as a script: the page's policy stays as it is.
  await page.evaluate(await axeSource);
  const { violations } = await page.evaluate(
    async (runOnly) => {
      // Colours in the middle of a change are nobody's choice.
      const changing = document.getAnimations().filter(({ effect }) => effect?.getComputedTiming().iterations !== Infinity);
      await Promise.allSettled(changing.map(({ finished }) => finished));
      return (globalThis as unknown as Axe).axe.run({ runOnly, resultTypes: ["violations"] });
    },
    rules ?? ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"],
  );
  return violations.flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.target.join(" ")} ${node.failureSummary ?? ""}`));
}
