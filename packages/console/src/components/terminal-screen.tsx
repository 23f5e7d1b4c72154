/**
 * One terminal of a workspace: xterm draws, a WebSocket carries. This file is loaded when a terminal is opened, because it is as large as the rest of the
 * console.
 *
 *   connecting → open → ended by the shell: over
 *                    ↘ broken → pause (growing) → connecting again behind the last byte that was drawn
 *
 * Input that is typed while it is not open is dropped: keystrokes that arrive minutes later do harm.
 */
import { FitAddon } from "@xterm/addon-fit";
import { Terminal } from "@xterm/xterm";
import "@xterm/xterm/css/xterm.css";
import { useEffect, useEffectEvent, useRef, useState } from "react";
import { endText, parseTerminalMessage } from "../util/terminal-protocol.ts";

export type TerminalState = "connecting" | "open" | "broken" | "over";

export interface TerminalScreenProps {
  /** Of the attach route, without a cursor. */
  url: string;
  onState: (state: TerminalState, text?: string) => void;
}

const pausesMs = [300, 1_000, 3_000, 10_000] as const;
/** RFC 6455: the other side refuses; asking again would not help. */
const refusedCode = 1008;

export function TerminalScreen({ url, onState }: TerminalScreenProps) {
  const frame = useRef<HTMLDivElement>(null);
  const tell = useEffectEvent(onState);
  const dark = useDark();
  const [terminal] = useState(
    () =>
      new Terminal({ cursorBlink: true, fontFamily: '"Geist Mono Variable", ui-monospace, monospace', fontSize: 13, scrollback: 5_000 }),
  );
  useEffect(() => {
    // The theme's colours are computed after the attribute has changed.
    terminal.options.theme = themeOf(frame.current ?? document.body);
  }, [terminal, dark]);
  useEffect(() => {
    const element = frame.current;
    if (!element) return undefined;
    const fit = new FitAddon();
    terminal.loadAddon(fit);
    terminal.open(element);
    terminal.options.theme = themeOf(element);
    terminal.attachCustomKeyEventHandler((event) => {
      // Tab belongs to the shell: this is the way out for those who use no mouse.
      if (event.key !== "Escape" || !event.shiftKey) return true;
      terminal.blur();
      return false;
    });
    const line = openLine({ url, terminal, onState: (state, text) => tell(state, text) });
    const observer = new ResizeObserver(() => fit.fit());
    observer.observe(element);
    fit.fit();
    terminal.focus();
    return () => {
      observer.disconnect();
      line.close();
      fit.dispose();
    };
  }, [terminal, url]);
  return <div ref={frame} className="h-[62vh] min-h-64 overflow-hidden bg-log p-2" />;
}

interface LineOptions {
  url: string;
  terminal: Terminal;
  onState: (state: TerminalState, text?: string) => void;
}

/** The connection, kept up until the terminal has ended or the page leaves it. */
function openLine({ url, terminal, onState }: LineOptions): { close: () => void } {
  const encoder = new TextEncoder();
  let socket: WebSocket | undefined;
  let cursor: number | undefined;
  let failures = 0;
  let over = false;
  /** A terminal whose machine is being started takes no size yet; it takes it once its shell has said something. */
  let sizeTaken = false;
  let timer: ReturnType<typeof setTimeout> | undefined;

  const send = (data: string | Uint8Array<ArrayBuffer>) => {
    if (socket?.readyState === WebSocket.OPEN) socket.send(data);
  };
  const resize = () => send(JSON.stringify({ type: "resize", cols: terminal.cols, rows: terminal.rows }));

  function connect(): void {
    onState("connecting");
    const next = new WebSocket(`${url.replace(/^http/, "ws")}${cursor === undefined ? "" : `?cursor=${cursor}`}`);
    next.binaryType = "arraybuffer";
    socket = next;
    next.addEventListener("message", ({ data }: MessageEvent<string | ArrayBuffer>) => receive(data));
    next.addEventListener("close", ({ code, reason }) => {
      if (over || socket !== next) return;
      if (code === refusedCode) return end(reason === "" ? "The server refused the terminal." : reason);
      failures += 1;
      onState("broken");
      timer = setTimeout(connect, pausesMs[Math.min(failures - 1, pausesMs.length - 1)]);
    });
  }

  function receive(data: string | ArrayBuffer): void {
    if (typeof data !== "string") {
      cursor = (cursor ?? 0) + data.byteLength;
      terminal.write(new Uint8Array(data));
      if (!sizeTaken) resize();
      sizeTaken = true;
      return;
    }
    const message = parseTerminalMessage(data);
    if (message?.type === "ready") {
      failures = 0;
      cursor = message.output_cursor;
      onState("open");
      resize();
    } else if (message?.type === "end") end(endText(message));
    else if (message?.type === "error" && sizeTaken) onState("open", message.message);
  }

  function end(text: string): void {
    over = true;
    onState("over", text);
  }

  const typed = [
    terminal.onData((text) => send(encoder.encode(text))),
    terminal.onBinary((text) => send(Uint8Array.from(text, (character) => character.charCodeAt(0)))),
    terminal.onResize(resize),
  ];
  connect();
  return {
    close() {
      over = true;
      clearTimeout(timer);
      for (const each of typed) each.dispose();
      socket?.close();
    },
  };
}

function useDark(): boolean {
  const query = "(prefers-color-scheme: dark)";
  const [dark, setDark] = useState(() => matchMedia(query).matches);
  useEffect(() => {
    const media = matchMedia(query);
    const look = () => setDark((document.documentElement.dataset["theme"] ?? (media.matches ? "dark" : "light")) === "dark");
    const observer = new MutationObserver(look);
    observer.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    media.addEventListener("change", look);
    look();
    return () => {
      observer.disconnect();
      media.removeEventListener("change", look);
    };
  }, []);
  return dark;
}

/** The console's own colours: xterm wants them resolved, and in a form that it can parse. */
function themeOf(element: HTMLElement) {
  const probe = document.createElement("span");
  element.append(probe);
  const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const color = (name: string): string => {
    probe.style.color = `var(--${name})`;
    const computed = getComputedStyle(probe).color;
    if (!context) return computed;
    context.fillStyle = computed;
    context.fillRect(0, 0, 1, 1);
    const [red = 0, green = 0, blue = 0] = context.getImageData(0, 0, 1, 1).data;
    return `rgb(${red}, ${green}, ${blue})`;
  };
  const theme = {
    background: color("log"),
    foreground: color("ink"),
    cursor: color("accent"),
    cursorAccent: color("log"),
    selectionBackground: color("line-strong"),
    black: color("muted"),
    red: color("bad"),
    green: color("good"),
    yellow: color("warn"),
    blue: color("info"),
    magenta: color("wait"),
    cyan: color("accent"),
    white: color("faint"),
  };
  probe.remove();
  return theme;
}
