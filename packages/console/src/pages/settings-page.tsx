import type { Environment, Project } from "@helmr/protocol/api";
import { Pencil, Plus, Trash2 } from "lucide-react";
import { useState } from "react";
import { call } from "../api/call.ts";
import { EnvironmentDot } from "../components/environment-dot.tsx";
import { IdText } from "../components/id-text.tsx";
import { PageHeader } from "../components/page-header.tsx";
import { useCurrentScope } from "../components/scope-switch.tsx";
import { EnvironmentDialog, isFixedEnvironment } from "../forms/environment-form.tsx";
import { FormError } from "../forms/form-error.tsx";
import { NameAndSlug, useNameAndSlug } from "../forms/name-and-slug.tsx";
import { useAction } from "../hooks/use-action.ts";
import { useGo } from "../hooks/use-go.ts";
import { useReasonAgainst } from "../hooks/use-me.ts";
import { useScope } from "../hooks/use-scope.ts";
import { Button } from "../ui/button.tsx";
import { Card } from "../ui/card.tsx";
import { useConfirm } from "../ui/confirm.tsx";
import { SkeletonRows } from "../ui/skeleton.tsx";
import { type Column, Table } from "../ui/table.tsx";
import { paths } from "../util/paths.ts";

export function SettingsPage() {
  const { project } = useCurrentScope();
  return (
    <>
      <PageHeader title="Project" detail="Its name, its environments, and its end." />
      {project ? (
        <div className="space-y-4">
          <ProjectSettings key={project.id} project={project} />
          <Environments project={project} />
          <DeleteProject project={project} />
        </div>
      ) : (
        <SkeletonRows />
      )}
    </>
  );
}

function ProjectSettings({ project }: { project: Project }) {
  const form = useNameAndSlug(project);
  const go = useGo();
  const { environment } = useScope();
  const denied = useReasonAgainst("projects.manage");
  const save = useAction({
    run: () => call("projects.update", { params: { project: project.id }, body: { name: form.value.name, slug: form.value.slug } }),
    refresh: [["projects"]],
    done: "Project saved",
    onDone: ({ slug }) => slug !== project.slug && go(paths.settings({ project: slug, environment }), { replace: true }),
    showsError: true,
  });
  const unchanged = form.value.name === project.name && form.value.slug === project.slug ? "Nothing has changed" : undefined;
  return (
    <Card title="General" actions={<IdText id={project.id} />}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (!form.problem && !unchanged && !denied && !save.busy) save.start();
        }}
      >
        <NameAndSlug form={form} slugHint="Addresses and scripts that name the old slug stop working." />
        <FormError error={save.error} />
        <Button type="submit" look="primary" className="mt-4" busy={save.busy} reason={denied ?? form.problem ?? unchanged}>
          Save
        </Button>
      </form>
    </Card>
  );
}

const columns: readonly Column<Environment>[] = [
  {
    key: "name",
    title: "Name",
    render: (environment) => (
      <span className="inline-flex items-center gap-2.5 font-medium">
        <EnvironmentDot color={environment.color_hex} />
        {environment.name}
      </span>
    ),
  },
  { key: "slug", title: "Slug", render: ({ slug }) => <span className="font-mono text-xs text-muted">{slug}</span> },
  {
    key: "gap",
    title: "",
    grow: true,
    from: "sm",
    render: ({ is_default: isDefault }) => (isDefault ? <span className="text-xs text-muted">default</span> : null),
  },
  { key: "id", title: "Id", from: "md", render: ({ id }) => <IdText id={id} /> },
];

function Environments({ project }: { project: Project }) {
  const denied = useReasonAgainst("projects.manage");
  const [editing, setEditing] = useState<Environment | "new">();
  return (
    <Card
      title="Environments"
      flush
      actions={
        <Button size="small" icon={<Plus />} reason={denied} onClick={() => setEditing("new")}>
          New environment
        </Button>
      }
    >
      <Table
        label="Environments"
        rows={project.environments ?? []}
        columns={columns}
        keyOf={({ id }) => id}
        actions={(environment) => (
          <>
            <Button
              size="small"
              look="ghost"
              icon={<Pencil />}
              reason={denied}
              aria-label={`Change ${environment.name}`}
              onClick={() => setEditing(environment)}
            />
            <DeleteEnvironment project={project} environment={environment} denied={denied} />
          </>
        )}
      />
      {editing === undefined ? null : (
        <EnvironmentDialog
          project={project}
          {...(editing === "new" ? {} : { environment: editing })}
          onClose={() => setEditing(undefined)}
        />
      )}
    </Card>
  );
}

function DeleteEnvironment({ project, environment, denied }: { project: Project; environment: Environment; denied: string | undefined }) {
  const confirm = useConfirm();
  const go = useGo();
  const scope = useScope();
  const remove = useAction({
    run: () => call("environments.delete", { params: { project: project.id, environment: environment.id } }),
    refresh: [["projects"]],
    done: `Environment ${environment.name} is deleted`,
    onDone: () => environment.slug === scope.environment && go(paths.home(), { replace: true }),
  });
  const ask = async () => {
    const detail = "Everything in it goes with it: sessions, runs, deployments, workspaces, secrets and keys.";
    if (await confirm({ title: `Delete ${environment.name}?`, detail, action: "Delete environment", typed: environment.slug }))
      remove.start();
  };
  const reason = denied ?? (isFixedEnvironment(environment) ? "Production and staging stay as long as the project" : undefined);
  return (
    <Button
      size="small"
      look="ghost"
      icon={<Trash2 />}
      busy={remove.busy}
      reason={reason}
      aria-label={`Delete ${environment.name}`}
      onClick={() => void ask()}
    />
  );
}

function DeleteProject({ project }: { project: Project }) {
  const confirm = useConfirm();
  const denied = useReasonAgainst("projects.manage");
  const remove = useAction({
    run: () => call("projects.delete", { params: { project: project.id } }),
    // A whole load: nothing that is kept of the project is of use.
    onDone: () => location.assign(paths.home()),
  });
  const ask = async () => {
    const detail = "All its environments go with it: sessions, runs, deployments, workspaces, secrets and keys. This cannot be undone.";
    if (await confirm({ title: `Delete ${project.name}?`, detail, action: "Delete project", typed: project.slug })) remove.start();
  };
  return (
    <Card title="Delete the project">
      <div className="flex flex-wrap items-center justify-between gap-3 text-sm">
        <p className="text-muted">With everything in it, in all environments.</p>
        <Button look="danger" icon={<Trash2 />} busy={remove.busy} reason={denied} onClick={() => void ask()}>
          Delete project
        </Button>
      </div>
    </Card>
  );
}
