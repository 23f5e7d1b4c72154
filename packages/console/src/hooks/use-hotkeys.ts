/** Keys of the console: ⌘K or Ctrl K, `/`, `g` and a letter. Never while something is being typed; a terminal's shell has its own Ctrl K. */
import { useEffect, useEffectEvent } from "react";

const sequenceMs = 900;

export interface Hotkeys {
  onPalette: () => void;
  /** The letter after `g`. */
  onGo: (key: string) => void;
}

export function useHotkeys(hotkeys: Hotkeys): void {
  const onPalette = useEffectEvent(hotkeys.onPalette);
  const onGo = useEffectEvent(hotkeys.onGo);
  useEffect(() => {
    let goUntil = 0;
    const onKey = (event: KeyboardEvent) => {
      if ((event.metaKey || (event.ctrlKey && !isTerminal(event.target))) && event.key.toLowerCase() === "k") {
        event.preventDefault();
        onPalette();
        return;
      }
      if (event.metaKey || event.ctrlKey || event.altKey || isTyping(event.target)) return;
      if (event.timeStamp < goUntil) {
        goUntil = 0;
        onGo(event.key);
      } else if (event.key === "g") goUntil = event.timeStamp + sequenceMs;
      else if (event.key === "/") {
        const search = document.querySelector<HTMLInputElement>('main input[type="search"]');
        if (!search) return;
        event.preventDefault();
        search.focus();
      }
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, []);
}

function isTerminal(target: EventTarget | null): boolean {
  return target instanceof Element && target.closest(".xterm") !== null;
}

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));
}
