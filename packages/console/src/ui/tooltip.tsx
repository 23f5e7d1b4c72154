/** One tooltip for the whole page: elements that have `data-tip` show it on hover and keyboard focus. Esc hides it. */
import { useEffect, useRef } from "react";

const delayMs = 250;
const gap = 6;

export function TooltipLayer() {
  const layer = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const element = layer.current;
    return element ? attach(element) : undefined;
  }, []);
  return (
    <div
      ref={layer}
      popover="manual"
      aria-hidden="true"
      className="pointer-events-none fixed inset-auto m-0 max-w-72 rounded-md border border-line-strong bg-surface px-2 py-1 text-xs text-ink shadow-raised"
    />
  );
}

function attach(layer: HTMLElement): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let shown: Element | undefined;
  const hide = () => {
    clearTimeout(timer);
    shown = undefined;
    if (layer.matches(":popover-open")) layer.hidePopover();
  };
  const show = (target: HTMLElement) => {
    const text = target.dataset["tip"];
    if (!text || !target.isConnected) return;
    layer.textContent = text;
    layer.showPopover();
    const box = target.getBoundingClientRect();
    const { width, height } = layer.getBoundingClientRect();
    const left = Math.min(Math.max(gap, box.left + box.width / 2 - width / 2), innerWidth - width - gap);
    const below = box.bottom + gap + height < innerHeight;
    layer.style.left = `${left}px`;
    layer.style.top = `${below ? box.bottom + gap : Math.max(gap, box.top - gap - height)}px`;
  };
  const enter = (event: Event) => {
    const target = event.target instanceof Element ? event.target.closest<HTMLElement>("[data-tip]") : null;
    if (target === (shown ?? null)) return;
    hide();
    if (!target) return;
    if (event.type === "focusin" && !target.matches(":focus-visible")) return;
    shown = target;
    timer = setTimeout(() => show(target), event.type === "focusin" ? 0 : delayMs);
  };
  const onKey = (event: KeyboardEvent) => {
    if (event.key === "Escape") hide();
  };
  document.addEventListener("pointerover", enter);
  document.addEventListener("focusin", enter);
  document.addEventListener("focusout", hide);
  document.addEventListener("pointerdown", hide);
  document.addEventListener("scroll", hide, true);
  document.addEventListener("keydown", onKey);
  return () => {
    hide();
    document.removeEventListener("pointerover", enter);
    document.removeEventListener("focusin", enter);
    document.removeEventListener("focusout", hide);
    document.removeEventListener("pointerdown", hide);
    document.removeEventListener("scroll", hide, true);
    document.removeEventListener("keydown", onKey);
  };
}
