/** A JSON value as a tree that opens and closes. Long lists show their beginning; long texts can be opened. */
import type { Json } from "@helmr/protocol/shared";
import { ChevronRight } from "lucide-react";
import { type ReactNode, useState } from "react";
import { classes } from "../ui/classes.ts";
import { CopyButton } from "../ui/copy-button.tsx";
import { formatJson, jsonPreview } from "../util/json-text.ts";

const childrenShown = 100;
const textShown = 400;

export function JsonTree({ value, label, openDepth = 2 }: { value: Json; label: string; openDepth?: number }) {
  return (
    <div className="group relative min-w-0 font-mono text-xs leading-5" role="group" aria-label={label}>
      <CopyButton
        text={typeof value === "string" ? value : formatJson(value)}
        label={`Copy ${label.toLowerCase()}`}
        className="absolute -top-1 right-0 bg-surface opacity-0 group-hover:opacity-100 focus-visible:opacity-100"
      />
      <Node value={value} openDepth={openDepth} />
    </div>
  );
}

interface NodeProps {
  name?: string;
  value: Json;
  openDepth: number;
}

function Node({ name, value, openDepth }: NodeProps) {
  const entries = entriesOf(value);
  if (entries && entries.length > 0) return <Branch name={name} value={value} entries={entries} openDepth={openDepth} />;
  return (
    <div className="pl-4 break-words">
      <Name name={name} />
      <Leaf value={value} />
    </div>
  );
}

function entriesOf(value: Json): (readonly [string, Json])[] | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  return Array.isArray(value) ? value.map((item, index) => [String(index), item] as const) : Object.entries(value);
}

function Branch({
  name,
  value,
  entries,
  openDepth,
}: {
  name: string | undefined;
  value: Json;
  entries: (readonly [string, Json])[];
  openDepth: number;
}) {
  const [open, setOpen] = useState(openDepth > 0);
  const [shown, setShown] = useState(childrenShown);
  const brackets = Array.isArray(value) ? "[]" : "{}";
  return (
    <div>
      <button
        type="button"
        aria-expanded={open}
        onClick={() => setOpen(!open)}
        className="flex max-w-full items-baseline rounded text-left hover:bg-hover"
      >
        <ChevronRight
          aria-hidden="true"
          className={classes("size-3 shrink-0 translate-y-0.5 text-faint transition-transform", open && "rotate-90")}
        />
        <span className="min-w-0 truncate pr-1 pl-1">
          <Name name={name} />
          {open ? (
            <span className="text-faint">
              {brackets[0]}
              <span className="sr-only">{entries.length} entries</span>
            </span>
          ) : (
            <span className="text-muted">{jsonPreview(value, 100)}</span>
          )}
        </span>
      </button>
      {open ? (
        <div className="ml-[5px] border-l border-line pl-2.5">
          {entries.slice(0, shown).map(([key, item]) => (
            <Node key={key} name={key} value={item} openDepth={openDepth - 1} />
          ))}
          {entries.length > shown ? (
            <button type="button" className="pl-4 text-accent hover:underline" onClick={() => setShown(shown + 10 * childrenShown)}>
              {entries.length - shown} more …
            </button>
          ) : null}
        </div>
      ) : null}
      {open ? <div className="pl-4 text-faint">{brackets[1]}</div> : null}
    </div>
  );
}

function Name({ name }: { name: string | undefined }) {
  return name === undefined ? null : (
    <>
      <span className="text-info">{name}</span>
      <span className="text-faint">: </span>
    </>
  );
}

function Leaf({ value }: { value: Json }): ReactNode {
  if (value === null) return <span className="text-faint">null</span>;
  if (typeof value === "string") return <Text text={value} />;
  if (typeof value === "number") return <span className="text-warn">{String(value)}</span>;
  if (typeof value === "boolean") return <span className="text-wait">{String(value)}</span>;
  return <span className="text-faint">{Array.isArray(value) ? "[]" : "{}"}</span>;
}

function Text({ text }: { text: string }) {
  const [whole, setWhole] = useState(false);
  const cut = !whole && text.length > textShown;
  return (
    <span className="whitespace-pre-wrap text-good">
      "{cut ? text.slice(0, textShown) : text}"
      {cut ? (
        <button type="button" className="ml-1 text-accent hover:underline" onClick={() => setWhole(true)}>
          … {text.length - textShown} more characters
        </button>
      ) : null}
    </span>
  );
}
