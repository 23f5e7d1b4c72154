import type { Json } from "@helmr/protocol/shared";
import { ArrowDownLeft, ArrowUpRight } from "lucide-react";
import { Chip } from "../ui/badge.tsx";
import { classes } from "../ui/classes.ts";
import type { SessionRecord } from "../util/stream-records.ts";
import { JsonTree } from "./json-tree.tsx";
import { RelativeTime } from "./relative-time.tsx";

/** Records as a conversation: what went in stands right, what came out left. */
export function RecordList({ records }: { records: readonly SessionRecord[] }) {
  return (
    <ol aria-label="Records" className="space-y-2.5 p-3.5">
      {records.map((record) => (
        <RecordItem key={record.id} record={record} />
      ))}
    </ol>
  );
}

function RecordItem({ record }: { record: SessionRecord }) {
  const isInput = record.direction === "input";
  const Icon = isInput ? ArrowUpRight : ArrowDownLeft;
  return (
    <li className={classes("flex", isInput && "justify-end")}>
      <article
        className={classes(
          "max-w-[92%] min-w-[45%] rounded-lg border px-3 py-2 sm:max-w-[80%]",
          isInput ? "border-accent/25 bg-accent-soft" : "border-line bg-sunken",
        )}
      >
        <header className="mb-1 flex flex-wrap items-center gap-x-2 gap-y-0.5 text-2xs text-muted">
          <Icon className="size-3" aria-label={isInput ? "input" : "output"} />
          <span className="font-mono text-ink">{record.name}</span>
          <span className="text-faint">#{record.sequence}</span>
          {record.correlation_id === undefined ? null : <Chip>{record.correlation_id}</Chip>}
          <span className="ml-auto">
            <RelativeTime at={record.created_at} />
          </span>
        </header>
        <RecordData data={record.data} />
      </article>
    </li>
  );
}

/** Texts are read as texts; everything else as JSON. */
function RecordData({ data }: { data: Json }) {
  if (typeof data === "string") return <p className="text-sm break-words whitespace-pre-wrap">{data}</p>;
  const text = onlyText(data);
  if (text !== undefined) return <p className="text-sm break-words whitespace-pre-wrap">{text}</p>;
  return <JsonTree value={data} label="Record" openDepth={2} />;
}

function onlyText(data: Json): string | undefined {
  if (typeof data !== "object" || data === null || Array.isArray(data)) return undefined;
  const entries = Object.entries(data);
  const [name, value] = entries[0] ?? [];
  return entries.length === 1 && (name === "text" || name === "message") && typeof value === "string" ? value : undefined;
}
