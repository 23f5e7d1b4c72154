import { duplexPair, type Duplex } from "node:stream";
import { until } from "@helmr/test/services";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { VmError } from "../driver.ts";
import { vmLimits } from "../limits.ts";
import { Qmp, QmpError, type QmpEvent } from "./qmp.ts";

interface Command {
  execute: string;
  arguments?: Record<string, unknown>;
  id: number;
}

let monitor: Duplex;
let stream: Duplex;
let commands: Command[];
let answer: (command: Command) => unknown;

beforeEach(() => {
  [monitor, stream] = duplexPair();
  commands = [];
  answer = ({ id }) => ({ return: {}, id });
  let partial = "";
  monitor.setEncoding("utf8").on("data", (text: string) => {
    partial += text;
    for (let end = partial.indexOf("\n"); end >= 0; end = partial.indexOf("\n")) {
      const command = JSON.parse(partial.slice(0, end)) as Command;
      partial = partial.slice(end + 1);
      commands.push(command);
      const reply = answer(command);
      if (reply !== undefined) say(reply);
    }
  });
});

afterEach(() => {
  monitor.destroy();
  stream.destroy();
});

function say(value: unknown): void {
  monitor.write(`${JSON.stringify(value)}\r\n`);
}

async function open(): Promise<Qmp> {
  const opening = Qmp.open(stream);
  say({ QMP: { version: {}, capabilities: [] } });
  return opening;
}

describe("Qmp", () => {
  test("waits for the greeting, then negotiates", async () => {
    await open();
    expect(commands).toEqual([{ execute: "qmp_capabilities", id: 1 }]);
  });

  test("gives each command its own answer, in whatever order and pieces they come", async () => {
    const qmp = await open();
    answer = () => undefined;
    const answers = Promise.all([qmp.execute("first"), qmp.execute("second", { a: 1 })]);
    await until("both commands", () => commands.length === 3);
    expect(commands.slice(1)).toMatchObject([{ execute: "first" }, { execute: "second", arguments: { a: 1 } }]);
    const text = `${JSON.stringify({ return: "of second", id: commands[2]?.id })}\n${JSON.stringify({ return: "of first", id: commands[1]?.id })}\n`;
    for (const character of text) monitor.write(character);
    expect(await answers).toEqual(["of first", "of second"]);
  });

  test("a refusal is an error with the monitor's words", async () => {
    const qmp = await open();
    answer = ({ id }) => ({ error: { class: "GenericError", desc: "no such node" }, id });
    const failure = await qmp.execute("block_resize").catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(QmpError);
    expect(failure).toMatchObject({ kind: "GenericError", message: "block_resize: no such node" });
  });

  test("events reach their listeners, between answers too", async () => {
    const qmp = await open();
    const seen: QmpEvent[] = [];
    const stop = qmp.onEvent((event) => seen.push(event));
    answer = ({ id }) => {
      say({ event: "STOP", timestamp: {} });
      return { return: {}, id };
    };
    await qmp.execute("stop");
    stop();
    await qmp.execute("stop");
    expect(seen).toEqual([{ event: "STOP", data: {} }]);
  });

  test("no answer in time is monitor_unresponsive; a late one hurts nobody", async () => {
    const qmp = await open();
    answer = () => undefined;
    const failure = await qmp.execute("query-status", undefined, 20).catch((error: unknown) => error);
    expect((failure as VmError).code).toBe("monitor_unresponsive");
    say({ return: {}, id: commands.at(-1)?.id });
    answer = ({ id }) => ({ return: "fine", id });
    expect(await qmp.execute("query-status")).toBe("fine");
  });

  test("a monitor that goes away fails what waits and what comes", async () => {
    const qmp = await open();
    answer = () => undefined;
    const waiting = qmp.execute("cont");
    monitor.destroy();
    stream.destroy();
    await expect(waiting).rejects.toMatchObject({ code: "monitor_died" });
    await expect(qmp.execute("cont")).rejects.toMatchObject({ code: "monitor_died" });
    await qmp.closed;
  });

  test("what is not its protocol ends the connection", async () => {
    const qmp = await open();
    monitor.write("Segmentation fault\n");
    await qmp.closed;
    await expect(qmp.execute("cont")).rejects.toMatchObject({ code: "monitor_died" });
  });

  test("a line without end is bounded", async () => {
    const qmp = await open();
    monitor.write("x".repeat(vmLimits.monitorLineBytesMax + 1));
    await qmp.closed;
  });

  test("answers that nobody asked for are ignored", async () => {
    const qmp = await open();
    say({ return: {}, id: 4711 });
    say({ return: {} });
    expect(await qmp.execute("cont")).toEqual({});
  });
});
