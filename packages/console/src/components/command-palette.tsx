/** Goes anywhere by typing: pages, tasks, environments, or an id pasted from a log. */
import { useQuery } from "@tanstack/react-query";
import { SquareCode } from "lucide-react";
import { Dialog as Radix } from "radix-ui";
import { type KeyboardEvent, useEffect, useId, useRef, useState } from "react";
import { findInScope, isUuid } from "../api/find.ts";
import { projectsQuery, tasksQuery } from "../api/queries.ts";
import { type Scope, scopeKey } from "../api/scope.ts";
import { useGo } from "../hooks/use-go.ts";
import { useScope } from "../hooks/use-scope.ts";
import { classes } from "../ui/classes.ts";
import { Spinner } from "../ui/spinner.tsx";
import { paths } from "../util/paths.ts";
import { type Place, places } from "./navigation.ts";

interface Item {
  key: string;
  label: string;
  kind: string;
  href: string;
  hint?: string;
  icon?: Place["icon"];
}

const itemsMax = 40;

export function CommandPalette({ onClose }: { onClose: () => void }) {
  const scope = useScope();
  const go = useGo();
  const list = useId();
  const [text, setText] = useState("");
  const [chosen, setChosen] = useState(0);
  const { items, busy } = useItems(scope, text);
  const active = Math.min(chosen, items.length - 1);
  const open = (item: Item | undefined) => {
    if (!item) return;
    onClose();
    go(item.href);
  };
  const onKey = (event: KeyboardEvent) => {
    const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    if (step !== 0) {
      event.preventDefault();
      setChosen((active + step + items.length) % Math.max(1, items.length));
    } else if (event.key === "Enter") open(items[active]);
  };
  return (
    <Radix.Root open onOpenChange={(next) => !next && onClose()}>
      <Radix.Portal>
        <Radix.Overlay className="fixed inset-0 z-40 animate-fade-in bg-[oklch(20%_0.02_240/0.45)]" />
        <Radix.Content
          aria-describedby={undefined}
          className="fixed top-[12vh] left-1/2 z-50 w-[calc(100vw-24px)] max-w-xl -translate-x-1/2 animate-fade-in overflow-hidden rounded-lg border border-line bg-surface shadow-raised"
        >
          <Radix.Title className="sr-only">Go to</Radix.Title>
          <div className="flex items-center gap-2 border-b border-line px-3.5">
            <input
              autoFocus
              role="combobox"
              aria-expanded="true"
              aria-controls={list}
              aria-activedescendant={items[active] ? `${list}-${active}` : undefined}
              aria-label="Go to a page, a task or an id"
              placeholder="A page, a task, or an id"
              value={text}
              onKeyDown={onKey}
              onChange={(event) => {
                setText(event.target.value);
                setChosen(0);
              }}
              className="h-11 w-full bg-transparent text-base outline-none"
            />
            {busy ? <Spinner label="Looking" /> : null}
          </div>
          <Results list={list} items={items} active={active} onOpen={open} onHover={setChosen} />
        </Radix.Content>
      </Radix.Portal>
    </Radix.Root>
  );
}

interface ResultsProps {
  list: string;
  items: readonly Item[];
  active: number;
  onOpen: (item: Item) => void;
  onHover: (index: number) => void;
}

function Results({ list, items, active, onOpen, onHover }: ResultsProps) {
  const frame = useRef<HTMLDivElement>(null);
  useEffect(() => {
    // Newer browsers return a promise, which must not become the effect's clean-up.
    frame.current?.querySelector('[aria-selected="true"]')?.scrollIntoView({ block: "nearest" });
  }, [active]);
  return (
    <div ref={frame} id={list} role="listbox" aria-label="Places" className="max-h-[50vh] overflow-y-auto p-1.5">
      {items.length === 0 ? <p className="px-2.5 py-6 text-center text-sm text-muted">Nothing fits.</p> : null}
      {items.map((item, index) => (
        <div
          key={item.key}
          id={`${list}-${index}`}
          role="option"
          aria-selected={index === active}
          onPointerMove={() => onHover(index)}
          onClick={() => onOpen(item)}
          className={classes("flex cursor-pointer items-center gap-3 rounded-md px-2.5 py-1.5 text-sm", index === active && "bg-hover")}
        >
          {item.icon ? <item.icon className="size-4 shrink-0 text-faint" aria-hidden="true" /> : null}
          <span className="min-w-0 grow truncate">{item.label}</span>
          {item.hint === undefined ? (
            <span className="text-xs text-faint">{item.kind}</span>
          ) : (
            <kbd className="rounded border border-line px-1 font-sans text-2xs text-faint">{item.hint}</kbd>
          )}
        </div>
      ))}
    </div>
  );
}

function useItems(scope: Scope, text: string): { items: Item[]; busy: boolean } {
  const { data: tasks = [] } = useQuery(tasksQuery(scope));
  const { data: projects = [] } = useQuery(projectsQuery());
  const id = text.trim();
  const found = useQuery({ queryKey: [...scopeKey(scope), "find", id], queryFn: () => findInScope(scope, id), enabled: isUuid(id) });
  if (isUuid(id)) {
    const items = (found.data ?? []).map(({ label, href }) => ({ key: href, label: `${label} ${id}`, kind: "in this environment", href }));
    return { items, busy: found.isFetching };
  }
  const all: Item[] = [
    ...places.flatMap((group) =>
      group.places.map((place) => ({
        key: `place-${place.label}`,
        label: place.label,
        kind: "page",
        hint: `g ${place.key}`,
        icon: place.icon,
        href: place.href(scope),
      })),
    ),
    ...tasks.map((task) => ({
      key: `task-${task.task_id}`,
      label: task.task_id,
      kind: "task",
      href: paths.task(scope, task.task_id),
      icon: SquareCode,
    })),
    ...projects.flatMap((project) =>
      (project.environments ?? []).map((environment) => ({
        key: `environment-${environment.id}`,
        label: `${project.name} / ${environment.name}`,
        kind: "environment",
        href: paths.overview({ project: project.slug, environment: environment.slug }),
      })),
    ),
  ];
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = all.filter(({ label, kind }) => words.every((word) => `${label} ${kind}`.toLowerCase().includes(word)));
  return { items: fits.slice(0, itemsMax), busy: false };
}
