import type { ReactNode } from "react";
import { useQueryText, useSetQueryText } from "../hooks/use-query-text.ts";
import { classes } from "./classes.ts";
import { inputClasses, type Option, Select } from "./field.tsx";

export function FilterBar({ children }: { children: ReactNode }) {
  return <div className="mb-3 flex flex-wrap items-center gap-2">{children}</div>;
}

/** A choice that is kept in the address under its name. */
export function SelectFilter({ name, label, options }: { name: string; label: string; options: readonly Option[] }) {
  const value = useQueryText()[name] ?? "";
  const setQuery = useSetQueryText();
  return <Select aria-label={label} fit value={value} onChange={(next) => setQuery({ [name]: next })} options={options} />;
}

export function TextFilter({ name, label, mono = false }: { name: string; label: string; mono?: boolean }) {
  const value = useQueryText()[name] ?? "";
  const setQuery = useSetQueryText();
  return (
    <input
      type="search"
      aria-label={label}
      placeholder={label}
      value={value}
      onChange={(event) => setQuery({ [name]: event.target.value })}
      className={classes(inputClasses, "w-full sm:w-56", mono && "font-mono text-xs")}
    />
  );
}
