import type { ComponentProps, MouseEvent, ReactNode } from "react";
import { classes } from "./classes.ts";
import { Spinner } from "./spinner.tsx";

export type ButtonLook = "primary" | "plain" | "ghost" | "danger";
export type ButtonSize = "regular" | "small";

const looks: Record<ButtonLook, string> = {
  primary: "bg-accent text-on-accent border-transparent hover:bg-accent-strong font-medium",
  plain: "bg-surface text-ink border-line-strong hover:bg-hover shadow-card",
  ghost: "bg-transparent text-muted border-transparent hover:bg-hover hover:text-ink",
  danger: "bg-surface text-bad border-line-strong hover:bg-bad-soft hover:border-bad/40 shadow-card",
};
const sizes: Record<ButtonSize, string> = { regular: "h-8 px-3 text-sm gap-1.5", small: "h-7 px-2.5 text-xs gap-1" };
const iconSizes: Record<ButtonSize, string> = { regular: "size-8", small: "size-7" };

export function buttonClasses(look: ButtonLook = "plain", size: ButtonSize = "regular", shape: "text" | "icon" = "text"): string {
  return classes(
    "inline-flex shrink-0 items-center justify-center rounded-md border whitespace-nowrap transition-colors select-none",
    "disabled:opacity-50 aria-disabled:cursor-not-allowed aria-disabled:opacity-50 [&_svg]:size-3.5 [&_svg]:shrink-0",
    looks[look],
    shape === "icon" ? iconSizes[size] : sizes[size],
  );
}

export interface ButtonProps extends Omit<ComponentProps<"button">, "disabled"> {
  look?: ButtonLook;
  size?: ButtonSize;
  busy?: boolean;
  /** Why it cannot be used now. It stays reachable, so that the reason can be read. */
  reason?: string | undefined;
  icon?: ReactNode;
}

export function Button({ look, size, busy = false, reason, icon, children, className, onClick, type = "button", ...rest }: ButtonProps) {
  const blocked = busy || reason !== undefined;
  const press = (event: MouseEvent<HTMLButtonElement>) => {
    if (blocked) event.preventDefault();
    else onClick?.(event);
  };
  return (
    <button
      {...rest}
      type={type}
      onClick={press}
      className={classes(buttonClasses(look, size, children === undefined ? "icon" : "text"), className)}
      {...(blocked ? { "aria-disabled": true } : {})}
      {...(busy ? { "aria-busy": true } : {})}
      {...(reason === undefined ? {} : { "data-tip": reason, "aria-description": reason })}
    >
      {busy ? <Spinner /> : icon}
      {children}
    </button>
  );
}

export function IconButton({ label, children, className, ...rest }: ComponentProps<"button"> & { label: string }) {
  return (
    <button
      type="button"
      {...rest}
      aria-label={label}
      data-tip={label}
      className={classes(
        "inline-flex size-7 shrink-0 items-center justify-center rounded-md text-muted hover:bg-hover hover:text-ink disabled:opacity-40 aria-pressed:bg-accent-soft aria-pressed:text-accent [&_svg]:size-4",
        className,
      )}
    >
      {children}
    </button>
  );
}
