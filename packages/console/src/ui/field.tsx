import { ChevronDown } from "lucide-react";
import { type ComponentProps, type ReactNode, useId } from "react";
import { classes } from "./classes.ts";

const controlClasses =
  "min-w-0 rounded-md border border-line-strong bg-surface text-ink aria-invalid:border-bad disabled:opacity-60 focus-visible:outline-offset-0";

export const inputClasses = `${controlClasses} h-8 w-full px-2.5 text-sm`;

export interface FieldFrame {
  label: string;
  hint?: ReactNode;
  error?: string | undefined;
  optional?: boolean;
}

interface Described {
  id: string;
  "aria-invalid"?: true;
  "aria-describedby"?: string;
}

/** Label, control, hint and error, tied together for assistive technology. */
export function Field({ label, hint, error, optional, children }: FieldFrame & { children: (props: Described) => ReactNode }) {
  const id = useId();
  const described = [hint === undefined ? "" : `${id}-hint`, error === undefined ? "" : `${id}-error`].filter(Boolean).join(" ");
  return (
    <div className="min-w-0">
      <label htmlFor={id} className="mb-1 flex items-baseline gap-1.5 text-xs font-medium text-ink">
        {label}
        {optional ? <span className="font-normal text-faint">optional</span> : null}
      </label>
      {children({
        id,
        ...(error === undefined ? {} : { "aria-invalid": true as const }),
        ...(described === "" ? {} : { "aria-describedby": described }),
      })}
      {error === undefined ? null : (
        <p id={`${id}-error`} className="mt-1 text-xs text-bad">
          {error}
        </p>
      )}
      {hint === undefined ? null : (
        <p id={`${id}-hint`} className="mt-1 text-xs text-muted">
          {hint}
        </p>
      )}
    </div>
  );
}

export interface TextFieldProps extends Omit<ComponentProps<"input">, "onChange" | "value"> {
  value: string;
  onChange: (value: string) => void;
  mono?: boolean;
}

export function TextField({
  label,
  hint,
  error,
  optional,
  value,
  onChange,
  mono = false,
  className,
  ...rest
}: FieldFrame & TextFieldProps) {
  return (
    <Field label={label} hint={hint} error={error} {...(optional ? { optional } : {})}>
      {(described) => (
        <input
          {...rest}
          {...described}
          value={value}
          onChange={(event) => onChange(event.target.value)}
          className={classes(inputClasses, mono && "font-mono", className)}
        />
      )}
    </Field>
  );
}

export interface Option {
  value: string;
  label: string;
}

export function SelectField({
  label,
  hint,
  error,
  value,
  onChange,
  options,
}: FieldFrame & { value: string; onChange: (value: string) => void; options: readonly Option[] }) {
  return (
    <Field label={label} hint={hint} error={error}>
      {(described) => <Select {...described} value={value} onChange={onChange} options={options} />}
    </Field>
  );
}

export interface SelectProps extends Omit<ComponentProps<"select">, "onChange" | "value" | "size" | "className"> {
  value: string;
  onChange: (value: string) => void;
  options: readonly Option[];
  size?: "regular" | "small";
  /** As wide as its longest option; otherwise it takes the whole line. */
  fit?: boolean;
}

const selectSizes = { regular: "h-8 text-sm", small: "h-7 text-xs" } as const;

export function Select({ value, onChange, options, size = "regular", fit = false, ...rest }: SelectProps) {
  return (
    <span className={classes("relative inline-flex align-middle", fit ? "max-w-full shrink-0" : "w-full min-w-0")}>
      <select
        {...rest}
        value={value}
        onChange={(event) => onChange(event.target.value)}
        className={classes(controlClasses, selectSizes[size], "appearance-none truncate pr-7 pl-2.5", !fit && "w-full")}
      >
        {options.map((option) => (
          <option key={option.value} value={option.value}>
            {option.label}
          </option>
        ))}
      </select>
      <ChevronDown className="pointer-events-none absolute top-1/2 right-2 size-3.5 -translate-y-1/2 text-faint" aria-hidden="true" />
    </span>
  );
}

export function Checkbox({
  label,
  checked,
  onChange,
  hint,
}: {
  label: string;
  checked: boolean;
  onChange: (checked: boolean) => void;
  hint?: string;
}) {
  return (
    <label className="flex items-start gap-2 text-sm">
      <input
        type="checkbox"
        checked={checked}
        onChange={(event) => onChange(event.target.checked)}
        className="mt-0.5 size-3.5 accent-accent"
      />
      <span>
        {label}
        {hint === undefined ? null : <span className="block text-xs text-muted">{hint}</span>}
      </span>
    </label>
  );
}
