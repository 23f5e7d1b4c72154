import type { Schedule } from "@helmr/protocol/api";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { call } from "../api/call.ts";
import { tasksQuery } from "../api/queries.ts";
import { type Scope, scopeKey } from "../api/scope.ts";
import { useAction } from "../hooks/use-action.ts";
import { Button } from "../ui/button.tsx";
import { Dialog, DialogActions } from "../ui/dialog.tsx";
import { Checkbox, Field, inputClasses, SelectField, TextField } from "../ui/field.tsx";
import { cronText } from "../util/cron-text.ts";
import { FormError } from "./form-error.tsx";

/** Makes a schedule, or changes one that was made here or through the API; those in code are changed by a deployment. */
export function ScheduleDialog({ scope, schedule, onClose }: { scope: Scope; schedule?: Schedule; onClose: () => void }) {
  const { data: tasks = [] } = useQuery(tasksQuery(scope));
  const [chosenTask, setTask] = useState(schedule?.task ?? "");
  const task = chosenTask === "" ? (tasks[0]?.task_id ?? "") : chosenTask;
  const [key, setKey] = useState("");
  const [cron, setCron] = useState(schedule?.cron ?? "0 9 * * 1-5");
  const [timezone, setTimezone] = useState(schedule?.timezone ?? Intl.DateTimeFormat().resolvedOptions().timeZone);
  const [active, setActive] = useState(schedule?.active ?? true);
  const save = useAction({
    run: () => {
      const body = { task, cron, timezone, active };
      return schedule
        ? call("schedules.put", { scope, params: { id: schedule.id }, body: { ...kept(schedule), ...body } })
        : call("schedules.create", { scope, body: { ...body, deduplication_key: key } });
    },
    refresh: [[...scopeKey(scope), "schedules"]],
    done: schedule ? "Schedule saved" : "Schedule created",
    onDone: onClose,
    showsError: true,
  });
  const fields = cron.trim().split(/\s+/).length;
  const cronError = cron.trim() !== "" && fields !== 5 ? "Five fields: minute, hour, day, month, weekday" : undefined;
  const problem =
    task === ""
      ? "Deploy a task first"
      : !schedule && key === ""
        ? "Give it a key"
        : (cronError ?? (cron.trim() === "" ? "Say when" : undefined));
  return (
    <Dialog
      open
      onOpenChange={onClose}
      title={schedule ? "Change schedule" : "New schedule"}
      description="Each occurrence starts a session of the task."
    >
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (!problem && !save.busy) save.start();
        }}
      >
        <div className="space-y-3">
          <SelectField
            label="Task"
            value={task}
            onChange={setTask}
            options={optionsOf(
              tasks.map((each) => each.task_id),
              task,
            )}
          />
          {schedule ? null : (
            <TextField
              label="Key"
              hint="Creating it again with the same key changes it."
              value={key}
              onChange={setKey}
              mono
              placeholder="morning-report"
              autoComplete="off"
            />
          )}
          <div className="grid gap-3 sm:grid-cols-2">
            <TextField
              label="Cron"
              hint={cronText(cron) ?? "minute hour day month weekday"}
              error={cronError}
              value={cron}
              onChange={setCron}
              mono
            />
            <TimezoneField value={timezone} onChange={setTimezone} />
          </div>
          <Checkbox label="Active" hint="An inactive schedule keeps its place and starts nothing." checked={active} onChange={setActive} />
        </div>
        <FormError error={save.error} />
        <DialogActions>
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" look="primary" busy={save.busy} reason={problem}>
            {schedule ? "Save" : "Create schedule"}
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  );
}

/** What the form does not show stays as it is: a put replaces everything. */
function kept({ options, external_id: externalId }: Schedule) {
  return { ...(options === undefined ? {} : { options }), ...(externalId === undefined ? {} : { external_id: externalId }) };
}

function optionsOf(ids: readonly string[], chosen: string) {
  const all = chosen === "" || ids.includes(chosen) ? ids : [chosen, ...ids];
  return all.map((value) => ({ value, label: value }));
}

function TimezoneField({ value, onChange }: { value: string; onChange: (value: string) => void }) {
  return (
    <Field label="Time zone">
      {(described) => (
        <>
          <input
            {...described}
            list="timezones"
            value={value}
            onChange={(event) => onChange(event.target.value)}
            className={inputClasses}
          />
          <datalist id="timezones">
            {Intl.supportedValuesOf("timeZone").map((zone) => (
              <option key={zone} value={zone} />
            ))}
          </datalist>
        </>
      )}
    </Field>
  );
}
