/** The console beside a real machine: a command, a terminal and a port of a workspace in the browser, and the files that are left when it stops. */
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { type ConsoleBrowser, openConsoleBrowser } from "./console-browser.ts";
import { repository } from "./local-install.ts";
import { type SharedInstall, sharedInstall } from "./shared-install.ts";

let install: SharedInstall;
let opened: ConsoleBrowser;
let address: string;
/** A machine in software emulation on a loaded host may take its time. */
const machineMs = 120_000;

beforeAll(async () => {
  install = await sharedInstall();
  await install.deploy(join(repository, "examples", "hello"));
  const { workspace } = await install.post("/api/workspaces", { sandbox_id: "default" }, 201);
  opened = await openConsoleBrowser({ url: install.ready.console_url });
  await opened.page.goto(install.ready.login_url);
  await opened.page.waitForURL("**/p/**");
  address = `${new URL(opened.page.url()).pathname.replace(/\/$/, "")}/workspaces/${workspace.id}`;
});
afterAll(async () => {
  await opened?.close();
  install?.close();
});
afterEach(() => {
  expect(opened.faults.splice(0)).toEqual([]);
});

const open = (tab: string) => opened.page.goto(`${address}?tab=${tab}`);

test("a command starts the machine, and what it writes is seen", async () => {
  const { page } = opened;
  await open("commands");
  await page.getByRole("textbox", { name: "Command" }).fill("echo one; echo two >&2; echo kept > kept.txt; exit 3");
  await page.getByRole("button", { name: "Run", exact: true }).click();
  const output = page.getByRole("region", { name: "Output of the command" });
  await output.getByText("exit 3").waitFor({ timeout: machineMs });
  await output.getByRole("log").getByText("one", { exact: true }).waitFor();
  await output.getByRole("log").getByText("two", { exact: true }).waitFor();
});

test("a terminal answers, and is there again when the page is loaded again", async () => {
  const { page } = opened;
  await open("terminal");
  await page.getByRole("button", { name: "Open a terminal" }).click();
  const screen = page.getByRole("region", { name: "Terminal" }).locator(".xterm-rows");
  await screen.getByText(/[$#]/).first().waitFor({ timeout: machineMs });
  await page.keyboard.type("echo the answer is $((40 + 2))\n");
  await screen.getByText("the answer is 42").waitFor({ timeout: machineMs });
  await page.reload();
  await screen.getByText("the answer is 42").waitFor({ timeout: machineMs });
  await page.getByLabel("Terminal input").focus();
  // 80 columns are what a terminal has that nobody has told its size.
  await page.keyboard.type("test $(stty size | cut -d' ' -f2) -gt 100 && echo it is as wide as the page\n");
  await screen.getByText(/^it is as wide as the page/).waitFor({ timeout: machineMs });
  await page.getByRole("button", { name: "Close terminal 1" }).click();
  await page.getByText("No terminal is open").waitFor({ timeout: machineMs });
});

test("what listens on a port is seen through a link", async () => {
  const { page } = opened;
  await open("commands");
  const server = 'require("http").createServer((_, answer) => answer.end("from the machine")).listen(8080, () => console.log("listening"))';
  await page.getByRole("textbox", { name: "Command" }).fill(`node -e '${server}'`);
  await page.getByRole("button", { name: "Run", exact: true }).click();
  await page.getByRole("log").getByText("listening").waitFor({ timeout: machineMs });
  await open("ports");
  await page.getByLabel("Port").fill("8080");
  await page.getByRole("button", { name: "Make a link" }).click();
  const [preview] = await Promise.all([opened.context.waitForEvent("page"), page.getByRole("link", { name: "Open port 8080" }).click()]);
  await preview.getByText("from the machine").waitFor({ timeout: machineMs });
  await preview.close();
  await open("commands");
  await page.getByRole("link", { name: /^node -e/ }).click();
  const output = page.getByRole("region", { name: "Output of the command" });
  await output.getByRole("button", { name: "Stop", exact: true }).click();
  await output.getByText("SIGTERM").waitFor({ timeout: machineMs });
});

test("a file is uploaded into the running machine, read and deleted", async () => {
  const { page } = opened;
  await page.goto(`${address}?source=live`);
  const files = page.getByRole("list", { name: "Files" });
  await files.getByText("kept.txt").waitFor({ timeout: machineMs });
  await page
    .getByLabel("Files to upload")
    .setInputFiles({ name: "note.txt", mimeType: "text/plain", buffer: Buffer.from("from the browser\n") });
  await files.getByRole("link", { name: "note.txt" }).click({ timeout: machineMs });
  await page.getByRole("region", { name: "Content" }).getByText("from the browser").waitFor({ timeout: machineMs });
  await page.getByRole("button", { name: "Delete", exact: true }).last().click();
  await page.getByRole("alertdialog").getByRole("button", { name: "Delete file" }).click();
  await files.getByText("kept.txt").waitFor({ timeout: machineMs });
  await files.getByText("note.txt").waitFor({ state: "detached" });
});

test("stopping leaves a version with its files", async () => {
  const { page } = opened;
  await open("versions");
  await page.getByRole("button", { name: "Stop", exact: true }).click();
  await page.getByRole("alertdialog").getByRole("button", { name: "Stop workspace" }).click();
  await page.getByRole("link", { name: /^Versions 2/ }).waitFor({ timeout: machineMs });
  await page.getByRole("row").filter({ hasText: "current" }).getByRole("link", { name: "Compare" }).click();
  await page.getByRole("region", { name: "Comparison" }).getByRole("link", { name: "kept.txt" }).click();
  await page.getByRole("row").filter({ hasText: "kept" }).getByText("+").waitFor();
});
