/**
 * A menu below its button. The browser's popover brings the top layer, Esc and closing by a click elsewhere; added here are the place, the arrow keys,
 * Home, End, the first letters, and the focus. (A menu of the component library costs 20 kB in the first load of every page.)
 */
import { type KeyboardEvent, type ReactNode, useId, useRef, useState } from "react";
import { Check } from "lucide-react";

const gap = 4;
const edge = 8;

export interface MenuTriggerProps {
  "aria-haspopup": "menu";
  "aria-expanded": boolean;
  "aria-controls": string;
  ref: (element: HTMLButtonElement | null) => void;
  onClick: () => void;
  onKeyDown: (event: KeyboardEvent) => void;
}

export function Menu({
  trigger,
  label,
  children,
}: {
  trigger: (props: MenuTriggerProps) => ReactNode;
  label: string;
  children: ReactNode;
}) {
  const id = useId();
  const button = useRef<HTMLButtonElement>(null);
  const panel = useRef<HTMLDivElement>(null);
  const [open, setOpen] = useState(false);
  const show = () => {
    if (!panel.current || !button.current || panel.current.matches(":popover-open")) return;
    panel.current.showPopover();
    place(panel.current, button.current);
    itemsOf(panel.current)[0]?.focus();
  };
  const hide = () => {
    if (panel.current?.matches(":popover-open")) panel.current.hidePopover();
    button.current?.focus();
  };
  return (
    <>
      {trigger({
        "aria-haspopup": "menu",
        "aria-expanded": open,
        "aria-controls": id,
        ref: (element) => {
          button.current = element;
        },
        onClick: () => (open ? hide() : show()),
        onKeyDown: (event) => {
          if (event.key !== "ArrowDown") return;
          event.preventDefault();
          show();
        },
      })}
      <div
        ref={panel}
        id={id}
        popover="auto"
        role="menu"
        aria-label={label}
        onToggle={(event) => setOpen(event.newState === "open")}
        onKeyDown={(event) => moveFocus(event, hide)}
        onClick={(event) => (event.target as Element).closest('[role="menuitem"]') && hide()}
        className="fixed inset-auto m-0 max-h-[70vh] min-w-52 overflow-y-auto rounded-lg border border-line bg-surface p-1 text-sm text-ink shadow-raised"
      >
        {children}
      </div>
    </>
  );
}

function place(panel: HTMLElement, button: HTMLElement): void {
  const box = button.getBoundingClientRect();
  panel.style.minWidth = `${Math.max(208, box.width)}px`;
  const { width, height } = panel.getBoundingClientRect();
  const below = box.bottom + gap + height < innerHeight - edge;
  panel.style.left = `${Math.max(edge, Math.min(box.left, innerWidth - width - edge))}px`;
  panel.style.top = `${below ? box.bottom + gap : Math.max(edge, box.top - gap - height)}px`;
}

function itemsOf(panel: HTMLElement): HTMLElement[] {
  return [...panel.querySelectorAll<HTMLElement>('[role="menuitem"]')];
}

function moveFocus(event: KeyboardEvent<HTMLDivElement>, hide: () => void): void {
  const items = itemsOf(event.currentTarget);
  const at = items.indexOf(document.activeElement as HTMLElement);
  const focus = (index: number) => {
    event.preventDefault();
    items.at(index % items.length)?.focus();
  };
  if (event.key === "ArrowDown") focus(at + 1);
  else if (event.key === "ArrowUp") focus(at - 1);
  else if (event.key === "Home") focus(0);
  else if (event.key === "End") focus(-1);
  else if (event.key === "Tab") hide();
  else if (/^\S$/.test(event.key) && !event.ctrlKey && !event.metaKey) {
    const next = [...items.slice(at + 1), ...items].find((item) =>
      item.textContent.trim().toLowerCase().startsWith(event.key.toLowerCase()),
    );
    next?.focus();
  }
}

export function MenuItem({ onSelect, checked, children }: { onSelect: () => void; checked?: boolean; children: ReactNode }) {
  return (
    <button
      type="button"
      role="menuitem"
      tabIndex={-1}
      onClick={onSelect}
      onPointerMove={(event) => event.currentTarget.focus({ preventScroll: true })}
      aria-current={checked ? "true" : undefined}
      className="flex w-full items-center gap-2 rounded-md px-2 py-1.5 text-left outline-none focus:bg-hover [&_svg]:size-4 [&_svg]:text-muted"
    >
      {children}
      {checked ? <Check className="ml-auto" aria-label="chosen" /> : null}
    </button>
  );
}

export function MenuTitle({ children }: { children: ReactNode }) {
  return <p className="px-2 pt-1.5 pb-1 text-2xs font-medium text-faint">{children}</p>;
}

export function MenuLine() {
  return <div role="separator" className="my-1 h-px bg-line" />;
}
