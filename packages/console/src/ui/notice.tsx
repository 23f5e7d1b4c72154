/** Short messages about what an action did. Read out by screen readers, gone after some seconds, kept while hovered. */
import { createContext, type ReactNode, useCallback, useContext, useEffect, useMemo, useState } from "react";
import { Check, TriangleAlert, X } from "lucide-react";
import { IconButton } from "./button.tsx";

interface Notice {
  id: number;
  kind: "done" | "failed";
  text: string;
}

export interface Notify {
  done: (text: string) => void;
  failed: (text: string) => void;
}

const NoticeContext = createContext<Notify>({ done: () => undefined, failed: () => undefined });
const shownMs = { done: 4_000, failed: 9_000 } as const;
const noticesMax = 4;
let lastId = 0;

export function useNotify(): Notify {
  return useContext(NoticeContext);
}

export function NoticeProvider({ children }: { children: ReactNode }) {
  const [notices, setNotices] = useState<Notice[]>([]);
  const add = useCallback((kind: Notice["kind"], text: string) => {
    lastId += 1;
    const notice = { id: lastId, kind, text };
    setNotices((before) => [...before.slice(1 - noticesMax), notice]);
  }, []);
  const close = useCallback((id: number) => setNotices((before) => before.filter((notice) => notice.id !== id)), []);
  const notify = useMemo<Notify>(() => ({ done: (text) => add("done", text), failed: (text) => add("failed", text) }), [add]);
  return (
    <NoticeContext.Provider value={notify}>
      {children}
      <div
        role="region"
        aria-label="Notices"
        aria-live="polite"
        className="pointer-events-none fixed right-3 bottom-3 left-3 z-70 flex flex-col items-end gap-2"
      >
        {notices.map((notice) => (
          <NoticeCard key={notice.id} notice={notice} onClose={close} />
        ))}
      </div>
    </NoticeContext.Provider>
  );
}

function NoticeCard({ notice, onClose }: { notice: Notice; onClose: (id: number) => void }) {
  const [held, setHeld] = useState(false);
  useEffect(() => {
    if (held) return undefined;
    const timer = setTimeout(() => onClose(notice.id), shownMs[notice.kind]);
    return () => clearTimeout(timer);
  }, [held, notice, onClose]);
  return (
    <div
      onPointerEnter={() => setHeld(true)}
      onPointerLeave={() => setHeld(false)}
      className="pointer-events-auto flex w-full max-w-sm animate-fade-in items-start gap-2 rounded-lg border border-line bg-surface py-2 pr-1.5 pl-3 text-sm shadow-raised"
    >
      <span className={notice.kind === "done" ? "mt-0.5 text-good" : "mt-0.5 text-bad"}>
        {notice.kind === "done" ? <Check className="size-4" aria-label="Done" /> : <TriangleAlert className="size-4" aria-label="Failed" />}
      </span>
      <p className="min-w-0 grow break-words">{notice.text}</p>
      <IconButton label="Dismiss" className="-my-1" onClick={() => onClose(notice.id)}>
        <X />
      </IconButton>
    </div>
  );
}
