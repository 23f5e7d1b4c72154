import { useState } from "react";
import { TextField } from "../ui/field.tsx";
import { slugOf, slugProblem } from "../util/slug.ts";

export interface Named {
  name: string;
  slug: string;
}

/** The slug follows the name until it is changed by hand. */
export function useNameAndSlug(initial: Named = { name: "", slug: "" }) {
  const [value, setValue] = useState(initial);
  const [own, setOwn] = useState(initial.slug !== "");
  const problem =
    value.name.trim() === ""
      ? "Give it a name"
      : value.slug === ""
        ? "Give it a slug"
        : slugProblem(value.slug) && "The slug is not right yet";
  return {
    value,
    problem,
    setName: (name: string) => setValue((before) => ({ name, slug: own ? before.slug : slugOf(name) })),
    setSlug: (slug: string) => {
      setOwn(slug !== "");
      setValue((before) => ({ ...before, slug }));
    },
  };
}

export function NameAndSlug({
  form,
  slugHint,
  slugFixed = false,
}: {
  form: ReturnType<typeof useNameAndSlug>;
  slugHint: string;
  slugFixed?: boolean;
}) {
  return (
    <div className="grid gap-3 sm:grid-cols-2">
      <TextField label="Name" value={form.value.name} onChange={form.setName} maxLength={80} required autoComplete="off" />
      <TextField
        label="Slug"
        hint={slugHint}
        error={slugProblem(form.value.slug)}
        value={form.value.slug}
        onChange={form.setSlug}
        maxLength={63}
        required
        mono
        disabled={slugFixed}
        autoComplete="off"
      />
    </div>
  );
}
