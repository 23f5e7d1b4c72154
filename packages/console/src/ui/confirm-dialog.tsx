import { AlertDialog as Radix } from "radix-ui";
import { useState } from "react";
import { buttonClasses } from "./button.tsx";
import type { Question } from "./confirm.tsx";
import { inputClasses } from "./field.tsx";

/** The answer with the least effect has the focus. */
export function ConfirmDialog({ question, onAnswer }: { question: Question; onAnswer: (yes: boolean) => void }) {
  const [typed, setTyped] = useState("");
  const { title, detail, action, keep = "Keep it", typed: wanted } = question;
  return (
    <Radix.Root open onOpenChange={(open) => !open && onAnswer(false)}>
      <Radix.Portal>
        <Radix.Overlay className="fixed inset-0 z-60 animate-fade-in bg-[oklch(20%_0.02_240/0.45)]" />
        <Radix.Content className="fixed top-[22vh] left-1/2 z-60 w-[calc(100vw-24px)] max-w-md -translate-x-1/2 animate-fade-in rounded-lg border border-line bg-surface p-4 shadow-raised">
          <Radix.Title className="text-base font-semibold">{title}</Radix.Title>
          <Radix.Description asChild>
            <div className="mt-1.5 text-sm text-muted">{detail}</div>
          </Radix.Description>
          {wanted === undefined ? null : (
            <label className="mt-3 block text-xs text-muted">
              Type <span className="font-mono font-medium text-ink">{wanted}</span> to go on
              <input
                className={`${inputClasses} mt-1`}
                value={typed}
                onChange={(event) => setTyped(event.target.value)}
                autoComplete="off"
              />
            </label>
          )}
          <div className="mt-4 flex justify-end gap-2">
            <Radix.Cancel className={buttonClasses()}>{keep}</Radix.Cancel>
            <Radix.Action
              className={buttonClasses("danger")}
              disabled={wanted !== undefined && typed !== wanted}
              onClick={() => onAnswer(true)}
            >
              {action}
            </Radix.Action>
          </div>
        </Radix.Content>
      </Radix.Portal>
    </Radix.Root>
  );
}
