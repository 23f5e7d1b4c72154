import { CopyButton } from "./copy-button.tsx";

/** A command to copy and run. */
export function CodeLine({ code, prompt = "$" }: { code: string; prompt?: string }) {
  return (
    <div className="flex items-start gap-2 rounded-md border border-line bg-sunken py-1 pr-1 pl-2.5 font-mono text-xs">
      <span aria-hidden="true" className="py-[3px] text-faint select-none">
        {prompt}
      </span>
      <code className="min-w-0 grow py-[3px] break-words whitespace-pre-wrap">
        {code.split(" ").map((word, index) => (
          <span key={index}>
            {index === 0 ? "" : " "}
            <span className="inline-block max-w-full">{word}</span>
          </span>
        ))}
      </code>
      <CopyButton text={code} label="Copy command" />
    </div>
  );
}
