/** Asks before something cannot be undone: `if (await confirm({…})) …`. */
import { createContext, lazy, type ReactNode, Suspense, useCallback, useContext, useRef, useState } from "react";

export interface Question {
  title: string;
  detail: ReactNode;
  action: string;
  /** The other answer, where "Keep it" says nothing. */
  keep?: string;
  /** Must be typed first: for what deletes much. */
  typed?: string;
}

type Ask = (question: Question) => Promise<boolean>;

const ConfirmContext = createContext<Ask>(() => Promise.resolve(false));
const ConfirmDialog = lazy(() => import("./confirm-dialog.tsx").then((module) => ({ default: module.ConfirmDialog })));

export function useConfirm(): Ask {
  return useContext(ConfirmContext);
}

export function ConfirmProvider({ children }: { children: ReactNode }) {
  const [question, setQuestion] = useState<Question>();
  const answer = useRef<(yes: boolean) => void>(undefined);
  const ask = useCallback<Ask>((next) => {
    answer.current?.(false);
    setQuestion(next);
    return new Promise((resolve) => {
      answer.current = resolve;
    });
  }, []);
  const settle = (yes: boolean) => {
    answer.current?.(yes);
    answer.current = undefined;
    setQuestion(undefined);
  };
  return (
    <ConfirmContext.Provider value={ask}>
      {children}
      {question ? (
        <Suspense>
          <ConfirmDialog question={question} onAnswer={settle} />
        </Suspense>
      ) : null}
    </ConfirmContext.Provider>
  );
}
