import { AppLink } from "../ui/app-link.tsx";
import { classes } from "../ui/classes.ts";
import { CopyButton } from "../ui/copy-button.tsx";

/** The end of a UUIDv7 tells things apart; its beginning is the time. */
export function shortId(id: string): string {
  return id.length > 16 ? id.slice(-8) : id;
}

/** A long id, shortened, whole on hover and in the clipboard. */
export function IdText({ id, href, className }: { id: string; href?: string; className?: string }) {
  const text = (
    <span data-tip={id} className={classes("font-mono text-xs", href !== undefined && "text-accent hover:underline")}>
      {shortId(id)}
    </span>
  );
  return (
    <span className={classes("relative z-10 inline-flex items-center gap-0.5 align-middle", className)}>
      {href === undefined ? text : <AppLink href={href}>{text}</AppLink>}
      <CopyButton text={id} label="Copy id" />
    </span>
  );
}
