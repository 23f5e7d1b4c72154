import { CopyButton } from "./copy-button.tsx";

/** A command to copy and run. */
export function CodeLine({ code, prompt = "$" }: { code: string; prompt?: string }) {
  return (
    <div className="flex items-center gap-2 rounded-md border border-line bg-sunken py-1 pr-1 pl-2.5 font-mono text-xs">
      <span aria-hidden="true" className="text-faint select-none">
        {prompt}
      </span>
      <code className="min-w-0 grow overflow-x-auto whitespace-pre">{code}</code>
      <CopyButton text={code} label="Copy command" />
    </div>
  );
}
