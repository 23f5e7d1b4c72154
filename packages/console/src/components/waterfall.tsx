/** Queue, attempts and waits of a run over time, drawn as SVG. The same facts are in a table for those who cannot see it. */
import type { Run } from "@helmr/protocol/api";
import { useMemo, useRef } from "react";
import { useNow } from "../hooks/use-now.ts";
import { isLive } from "../hooks/use-run-story.ts";
import { useWidth } from "../hooks/use-width.ts";
import { type RunStory, type Span, spansOf, type Tone } from "../util/run-story.ts";
import { axisMarks, axisText, clockTime, durationText } from "../util/time.ts";

const rowHeight = 26;
const barHeight = 14;
const axisHeight = 22;
/** What has only begun is drawn small, not stretched. */
const liveWholeMs = 1_000;

const fills: Record<Tone, string> = {
  queued: "var(--line-strong)",
  running: "var(--info)",
  waiting: "var(--wait)",
  succeeded: "var(--good)",
  failed: "var(--bad)",
  cancelled: "var(--faint)",
  expired: "var(--warn)",
};

export function Waterfall({ run, story }: { run: Run; story: RunStory }) {
  const frame = useRef<HTMLDivElement>(null);
  const width = useWidth(frame);
  const now = useNow(isLive(run) ? "fast" : "still");
  const spans = useMemo(() => spansOf(story, run), [story, run]);
  return (
    <div ref={frame}>
      {width > 0 ? (
        <Drawing spans={spans} width={width} now={now} live={isLive(run)} />
      ) : (
        <div style={{ height: rowHeight * 2 + axisHeight }} />
      )}
      <SpanTable spans={spans} now={now} />
    </div>
  );
}

function Drawing({ spans, width, now, live }: { spans: Span[]; width: number; now: number; live: boolean }) {
  const from = Math.min(...spans.map((span) => span.from));
  const to = Math.max(...spans.map((span) => span.to ?? Math.max(now, span.from)));
  const whole = Math.max(to - from, live ? liveWholeMs : 10);
  const labels = width < 520 ? 96 : 150;
  const room = width - labels - 64;
  const x = (at: number) => labels + ((at - from) / whole) * room;
  const height = spans.length * rowHeight + axisHeight;
  return (
    <svg width={width} height={height} aria-hidden="true" className="block text-2xs">
      {axisMarks(whole, Math.max(2, Math.floor(room / 90))).map((mark) => (
        <g key={mark}>
          <line x1={x(from + mark)} x2={x(from + mark)} y1={0} y2={height - axisHeight} stroke="var(--line)" />
          <text x={x(from + mark)} y={height - 6} fill="var(--faint)" textAnchor={mark === 0 ? "start" : "middle"}>
            {axisText(mark)}
          </text>
        </g>
      ))}
      {spans.map((span, index) => (
        <Bar key={span.key} span={span} top={index * rowHeight} x={x} now={now} labelWidth={labels} />
      ))}
      {live ? <line x1={x(to)} x2={x(to)} y1={0} y2={height - axisHeight} stroke="var(--accent)" strokeDasharray="2 3" /> : null}
    </svg>
  );
}

interface BarProps {
  span: Span;
  top: number;
  x: (at: number) => number;
  now: number;
  labelWidth: number;
}

function Bar({ span, top, x, now, labelWidth }: BarProps) {
  const end = span.to ?? Math.max(now, span.from);
  const left = x(span.from);
  const barWidth = Math.max(3, x(end) - left);
  const y = top + (rowHeight - barHeight) / 2;
  const thin = span.depth === 1 ? 3 : 0;
  const open = span.to === undefined;
  return (
    <g data-tip={`${span.label}: ${durationText(end - span.from)}, ${span.detail}`}>
      <rect x={0} y={top} width="100%" height={rowHeight} fill="transparent" />
      <text x={span.depth * 12} y={top + rowHeight / 2 + 4} fill={span.depth === 0 ? "var(--ink)" : "var(--muted)"} fontSize={12}>
        {fit(span.label, labelWidth - span.depth * 12)}
      </text>
      <rect
        x={left}
        y={y + thin}
        width={barWidth}
        height={barHeight - 2 * thin}
        rx={3}
        fill={fills[span.tone]}
        fillOpacity={span.tone === "queued" ? 0.75 : 1}
        className={open ? "animate-pulse-dot" : undefined}
      />
      <text x={left + barWidth + 6} y={top + rowHeight / 2 + 4} fill="var(--muted)" className="tabular-nums">
        {durationText(end - span.from)}
      </text>
    </g>
  );
}

function fit(text: string, width: number): string {
  const max = Math.floor(width / 6.6);
  return text.length <= max ? text : `${text.slice(0, max - 1)}…`;
}

function SpanTable({ spans, now }: { spans: Span[]; now: number }) {
  return (
    <div className="sr-only">
      <table>
        <caption>Timeline of the run</caption>
        <thead>
          <tr>
            <th>What</th>
            <th>From</th>
            <th>Took</th>
            <th>How</th>
          </tr>
        </thead>
        <tbody>
          {spans.map((span) => (
            <tr key={span.key}>
              <td>{span.label}</td>
              <td>{clockTime(span.from)}</td>
              <td>{span.to === undefined ? `${durationText(now - span.from)} so far` : durationText(span.to - span.from)}</td>
              <td>{span.detail}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
