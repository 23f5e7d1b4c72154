import type { Environment, Project } from "@helmr/protocol/api";
import { useState } from "react";
import { call } from "../api/call.ts";
import { useAction } from "../hooks/use-action.ts";
import { Button } from "../ui/button.tsx";
import { classes } from "../ui/classes.ts";
import { Dialog, DialogActions } from "../ui/dialog.tsx";
import { Field } from "../ui/field.tsx";
import { FormError } from "./form-error.tsx";
import { NameAndSlug, useNameAndSlug } from "./name-and-slug.tsx";

const colors = ["#C2410C", "#B45309", "#4D7C0F", "#0F766E", "#0369A1", "#4338CA", "#7E22CE", "#BE185D", "#475569"] as const;
/** Cannot be renamed or deleted (http §15.3). */
const fixedSlugs: readonly string[] = ["production", "staging"];

export function isFixedEnvironment({ slug }: Pick<Environment, "slug">): boolean {
  return fixedSlugs.includes(slug);
}

/** Creates an environment, or changes the given one. */
export function EnvironmentDialog({ project, environment, onClose }: { project: Project; environment?: Environment; onClose: () => void }) {
  const form = useNameAndSlug(environment);
  const [color, setColor] = useState<string>(environment?.color_hex ?? "#0369A1");
  const fixed = environment !== undefined && isFixedEnvironment(environment);
  const save = useAction({
    run: () => {
      const body = { ...form.value, color_hex: color };
      return environment
        ? call("environments.update", { params: { project: project.id, environment: environment.id }, body })
        : call("environments.create", { params: { project: project.id }, body });
    },
    refresh: [["projects"]],
    done: environment ? "Environment saved" : "Environment created",
    onDone: onClose,
    showsError: true,
  });
  return (
    <Dialog open onOpenChange={onClose} title={environment ? `Environment ${environment.name}` : "New environment"}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (!form.problem && !save.busy) save.start();
        }}
      >
        <NameAndSlug
          form={form}
          slugFixed={fixed}
          slugHint={fixed ? "This environment keeps its slug." : "Stands in addresses and after --env."}
        />
        <div className="mt-3">
          <Field label="Colour" hint="A line on top of every page says where you are.">
            {(described) => <ColorChoice {...described} value={color} onChange={setColor} />}
          </Field>
        </div>
        <FormError error={save.error} />
        <DialogActions>
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" look="primary" busy={save.busy} reason={form.problem}>
            {environment ? "Save" : "Create environment"}
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  );
}

function ColorChoice({ value, onChange, ...described }: { id: string; value: string; onChange: (color: string) => void }) {
  return (
    <div className="flex flex-wrap items-center gap-1.5">
      {colors.map((color) => (
        <button
          key={color}
          type="button"
          aria-label={`Colour ${color}`}
          aria-pressed={color === value.toUpperCase()}
          onClick={() => onChange(color)}
          style={{ background: color }}
          className={classes("size-6 rounded-full", color === value.toUpperCase() && "ring-2 ring-ink ring-offset-2 ring-offset-surface")}
        />
      ))}
      <input
        {...described}
        type="color"
        value={value.toLowerCase()}
        onChange={(event) => onChange(event.target.value.toUpperCase())}
        className="ml-1 h-7 w-9 rounded border border-line-strong bg-surface"
      />
    </div>
  );
}
