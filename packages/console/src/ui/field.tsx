import { type ComponentProps, type ReactNode, useId } from "react";
import { classes } from "./classes.ts";

export const inputClasses =
  "h-8 w-full min-w-0 rounded-md border border-line-strong bg-surface px-2.5 text-sm text-ink aria-invalid:border-bad disabled:opacity-60 focus-visible:outline-offset-0";

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

export function Select({
  value,
  onChange,
  options,
  className,
  ...rest
}: Omit<ComponentProps<"select">, "onChange" | "value"> & {
  value: string;
  onChange: (value: string) => void;
  options: readonly Option[];
}) {
  return (
    <select {...rest} value={value} onChange={(event) => onChange(event.target.value)} className={classes(inputClasses, "pr-7", className)}>
      {options.map((option) => (
        <option key={option.value} value={option.value}>
          {option.label}
        </option>
      ))}
    </select>
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
