import { formatJson, parseJsonText } from "../util/json-text.ts";
import { classes } from "./classes.ts";
import { Field, type FieldFrame, inputClasses } from "./field.tsx";

export interface JsonFieldProps extends FieldFrame {
  value: string;
  onChange: (value: string) => void;
  rows?: number;
  placeholder?: string;
  /** Anything is right: what is no JSON is a text. */
  lenient?: boolean;
  /** Ctrl or ⌘ with Enter. */
  onSubmit?: () => void;
}

/** A text of JSON that says what is wrong with it while it is typed. Tab leaves the field, as everywhere. */
export function JsonField({ value, onChange, rows = 6, placeholder, onSubmit, error, lenient = false, ...frame }: JsonFieldProps) {
  const parsed = parseJsonText(value);
  return (
    <div className="relative">
      <Field {...frame} error={error ?? (parsed.ok || lenient ? undefined : parsed.message)}>
        {(described) => (
          <textarea
            {...described}
            value={value}
            rows={rows}
            placeholder={placeholder}
            spellCheck={false}
            autoCapitalize="off"
            onChange={(event) => onChange(event.target.value)}
            onKeyDown={(event) => {
              if (event.key === "Enter" && (event.metaKey || event.ctrlKey)) {
                event.preventDefault();
                onSubmit?.();
              }
            }}
            className={classes(inputClasses, "h-auto min-h-16 resize-y py-1.5 font-mono text-xs leading-5")}
          />
        )}
      </Field>
      {parsed.ok && parsed.value !== undefined && /^[[{]/.test(value.trim()) ? (
        <button
          type="button"
          className="absolute top-0 right-0 text-xs text-muted hover:text-ink"
          onClick={() => onChange(formatJson(parsed.value))}
        >
          Format
        </button>
      ) : null}
    </div>
  );
}
