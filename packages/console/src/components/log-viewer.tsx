/**
 * The log of a run. Only the rows in sight are in the page, so that a hundred thousand lines scroll like ten. It follows the end until someone scrolls up,
 * and again when they come back down. Search and stream filters are in the address.
 */
import type { LogRecord } from "@helmr/protocol/api";
import { ArrowDownToLine, Download, Search } from "lucide-react";
import { memo, useEffect, useLayoutEffect, useMemo, useRef, useState, useSyncExternalStore } from "react";
import { useQueryText, useSetQueryText } from "../hooks/use-query-text.ts";
import { classes } from "../ui/classes.ts";
import { IconButton } from "../ui/button.tsx";
import { inputClasses } from "../ui/field.tsx";
import { SkeletonRows } from "../ui/skeleton.tsx";
import { ansiParts, hasAnsi, stripAnsi } from "../util/ansi.ts";
import { FilteredLines, type LogBuffer, type LogLine, windowOf } from "../util/log-buffer.ts";
import { clockTime } from "../util/time.ts";

const rowHeight = 20;
const allStreams: readonly LogRecord["stream"][] = ["stdout", "stderr", "logger"];

export interface LogViewerProps {
  buffer: LogBuffer;
  live: boolean;
  /** What was written before has not arrived yet. */
  loading: boolean;
  /** Shown where there are no lines. */
  emptyText: string;
  fileName: string;
  /** Those that there can be. */
  streams?: readonly LogRecord["stream"][];
}

export function LogViewer({ buffer, live, loading, emptyText, fileName, streams: possible = allStreams }: LogViewerProps) {
  const { q: text = "", streams: chosen = "" } = useQueryText();
  const version = useSyncExternalStore(buffer.subscribe, () => buffer.version);
  const streams = useMemo(
    () => new Set(chosen === "" ? allStreams : allStreams.filter((name) => chosen.split(" ").includes(name))),
    [chosen],
  );
  const filtered = useMemo(() => new FilteredLines({ streams, text: text.toLowerCase() }), [streams, text]);
  const indexes = filtered.update(buffer);
  const [following, setFollowing] = useState(true);
  return (
    <div className="flex min-h-0 flex-col">
      <div className="flex flex-wrap items-center gap-2 border-b border-line px-2.5 py-1.5">
        <SearchBox found={text === "" ? undefined : indexes.length} />
        <StreamFilter possible={possible} streams={streams} />
        <div className="ml-auto flex items-center gap-1">
          <span className="mr-1 text-xs text-muted tabular-nums" role="status">
            {buffer.lines.length.toLocaleString()} {buffer.lines.length === 1 ? "line" : "lines"}
          </span>
          <IconButton
            label={following ? "Following the end" : "Follow the end"}
            aria-pressed={following}
            onClick={() => setFollowing(true)}
          >
            <ArrowDownToLine />
          </IconButton>
          <IconButton label="Download" onClick={() => save(buffer, fileName)} disabled={buffer.lines.length === 0}>
            <Download />
          </IconButton>
        </div>
      </div>
      {buffer.dropped > 0 ? (
        <p className="border-b border-line bg-warn-soft px-3 py-1 text-xs text-warn">
          {buffer.dropped.toLocaleString()} earlier lines are not kept in this page; the command helmr run logs prints all of them.
        </p>
      ) : null}
      {buffer.lines.length === 0 && loading ? (
        <div className="bg-log">
          <SkeletonRows rows={4} />
        </div>
      ) : indexes.length === 0 ? (
        <p className="bg-log px-3 py-10 text-center text-sm text-muted">
          {buffer.lines.length === 0 ? emptyText : "No line fits the search."}
        </p>
      ) : (
        <Lines
          buffer={buffer}
          indexes={indexes}
          version={version}
          mark={text.toLowerCase()}
          following={following}
          onFollow={setFollowing}
          live={live}
        />
      )}
    </div>
  );
}

function SearchBox({ found }: { found: number | undefined }) {
  const { q = "" } = useQueryText();
  const setQuery = useSetQueryText();
  return (
    <div className="relative w-full sm:w-64">
      <Search className="pointer-events-none absolute top-2 left-2 size-3.5 text-faint" aria-hidden="true" />
      <input
        type="search"
        aria-label="Search the log"
        placeholder="Search"
        value={q}
        onChange={(event) => setQuery({ q: event.target.value })}
        className={classes(inputClasses, "h-7.5 pl-7 text-xs", found !== undefined && "pr-20")}
      />
      {found === undefined ? null : <span className="absolute top-2 right-7 text-2xs text-muted">{found.toLocaleString()} found</span>}
    </div>
  );
}

function StreamFilter({ possible, streams }: { possible: readonly LogRecord["stream"][]; streams: ReadonlySet<LogRecord["stream"]> }) {
  const setQuery = useSetQueryText();
  const toggle = (name: LogRecord["stream"]) => {
    const next = possible.filter((other) => (other === name ? !streams.has(other) : streams.has(other)));
    setQuery({ streams: next.length === possible.length || next.length === 0 ? "" : next.join(" ") });
  };
  return (
    <div role="group" aria-label="Streams" className="flex overflow-hidden rounded-md border border-line-strong">
      {possible.map((name) => (
        <button
          key={name}
          type="button"
          aria-pressed={streams.has(name)}
          onClick={() => toggle(name)}
          className="h-7 border-r border-line-strong px-2 font-mono text-2xs text-faint line-through last:border-0 hover:bg-hover aria-pressed:bg-sunken aria-pressed:text-ink aria-pressed:no-underline"
        >
          {name}
        </button>
      ))}
    </div>
  );
}

interface LinesProps {
  buffer: LogBuffer;
  indexes: number[];
  version: number;
  mark: string;
  following: boolean;
  onFollow: (following: boolean) => void;
  live: boolean;
}

function Lines({ buffer, indexes, version, mark, following, onFollow, live }: LinesProps) {
  const frame = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ top: 0, height: 480 });
  const [opened, setOpened] = useState<LogLine>();
  const rows = indexes.length;
  useLayoutEffect(() => {
    const element = frame.current;
    if (element && following) element.scrollTop = element.scrollHeight;
  }, [following, version, rows]);
  useEffect(() => {
    const element = frame.current;
    if (!element) return undefined;
    const measure = () => setView({ top: element.scrollTop, height: element.clientHeight });
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    measure();
    return () => observer.disconnect();
  }, []);
  const onScroll = () => {
    const element = frame.current;
    if (!element) return;
    setView({ top: element.scrollTop, height: element.clientHeight });
    const atEnd = element.scrollHeight - element.scrollTop - element.clientHeight < rowHeight * 1.5;
    if (atEnd !== following) onFollow(atEnd);
  };
  const { from, to } = windowOf({ rows, rowHeight, ...view });
  return (
    <>
      <div
        ref={frame}
        role="log"
        aria-label="Log"
        aria-live={live && following ? "polite" : "off"}
        tabIndex={0}
        onScroll={onScroll}
        className="max-h-[62vh] min-h-40 overflow-auto bg-log font-mono text-xs focus-visible:-outline-offset-2"
      >
        <div style={{ height: rows * rowHeight, position: "relative" }}>
          <div style={{ transform: `translateY(${from * rowHeight}px)` }} className="absolute top-0 left-0 min-w-full">
            {indexes.slice(from, to).map((index) => {
              const line = buffer.lines[index];
              return line ? <Row key={buffer.dropped + index} line={line} mark={mark} opened={line === opened} onOpen={setOpened} /> : null;
            })}
          </div>
        </div>
      </div>
      {opened ? <OpenedLine line={opened} onClose={() => setOpened(undefined)} /> : null}
    </>
  );
}

interface RowProps {
  line: LogLine;
  mark: string;
  opened: boolean;
  onOpen: (line: LogLine) => void;
}

const Row = memo(function Row({ line, mark, opened, onOpen }: RowProps) {
  const bad = line.stream === "stderr" || line.level === "error";
  return (
    <div
      onDoubleClick={() => onOpen(line)}
      style={{ height: rowHeight }}
      className={classes("flex items-center pr-4 whitespace-pre hover:bg-hover", opened && "bg-accent-soft", bad && "bg-bad-soft/60")}
    >
      <span className="w-28 shrink-0 pl-3 text-2xs text-faint select-none">{line.continued ? "" : clockTime(line.at)}</span>
      <span
        aria-hidden="true"
        className={classes(
          "mr-2 h-3 w-0.5 shrink-0 rounded",
          line.stream === "stderr" ? "bg-bad" : line.stream === "logger" ? "bg-wait" : "bg-line-strong",
        )}
      />
      {line.level === undefined || line.continued ? null : <Level level={line.level} />}
      <LineText text={line.text} mark={mark} />
      {line.fields === undefined ? null : (
        <button
          type="button"
          onClick={() => onOpen(line)}
          className="ml-2 rounded border border-line px-1 text-2xs text-muted hover:bg-hover"
        >
          fields
        </button>
      )}
    </div>
  );
});

function Level({ level }: { level: NonNullable<LogRecord["level"]> }) {
  const tone = level === "error" ? "text-bad" : level === "warn" ? "text-warn" : "text-info";
  return <span className={classes("mr-2 w-9 shrink-0 text-2xs font-medium uppercase", tone)}>{level}</span>;
}

const colors = [
  "var(--faint)",
  "var(--bad)",
  "var(--good)",
  "var(--warn)",
  "var(--info)",
  "var(--wait)",
  "var(--accent)",
  "var(--muted)",
] as const;

function LineText({ text, mark }: { text: string; mark: string }) {
  if (mark !== "") return <Marked text={stripAnsi(text)} mark={mark} />;
  if (!hasAnsi(text)) return <span>{stripAnsi(text)}</span>;
  return (
    <span>
      {ansiParts(text).map((part, index) => (
        <span
          key={index}
          className={classes(
            part.bold && "font-semibold",
            part.dim && "opacity-70",
            part.italic && "italic",
            part.underline && "underline",
          )}
          style={part.color === undefined ? undefined : { color: colors[part.color % 8] }}
        >
          {part.text}
        </span>
      ))}
    </span>
  );
}

function Marked({ text, mark }: { text: string; mark: string }) {
  const parts = [];
  const lower = text.toLowerCase();
  let from = 0;
  for (let at = lower.indexOf(mark); at >= 0; at = lower.indexOf(mark, from)) {
    parts.push(
      text.slice(from, at),
      <mark key={at} className="rounded-xs bg-warn/30 text-ink">
        {text.slice(at, at + mark.length)}
      </mark>,
    );
    from = at + mark.length;
  }
  return (
    <span>
      {parts}
      {text.slice(from)}
    </span>
  );
}

function OpenedLine({ line, onClose }: { line: LogLine; onClose: () => void }) {
  return (
    <div className="max-h-64 overflow-auto border-t border-line p-3 font-mono text-xs">
      <button type="button" onClick={onClose} className="float-right font-sans text-xs text-muted hover:text-ink">
        Close
      </button>
      <p className="break-words whitespace-pre-wrap">{stripAnsi(line.text)}</p>
      {line.fields === undefined ? null : <pre className="mt-2 whitespace-pre-wrap text-muted">{JSON.stringify(line.fields, null, 2)}</pre>}
    </div>
  );
}

function save(buffer: LogBuffer, fileName: string): void {
  const url = URL.createObjectURL(new Blob([buffer.asText()], { type: "text/plain" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = fileName;
  link.click();
  URL.revokeObjectURL(url);
}
