import type { Environment, Project } from "@helmr/protocol/api";
import { useQuery } from "@tanstack/react-query";
import { ChevronsUpDown, Plus } from "lucide-react";
import { lazy, Suspense, useState } from "react";
import { projectsQuery } from "../api/queries.ts";
import { useReasonAgainst } from "../hooks/use-me.ts";
import { useGo } from "../hooks/use-go.ts";
import { useScope } from "../hooks/use-scope.ts";
import { Menu, MenuItem, MenuLine, MenuTitle } from "../ui/menu.tsx";
import { paths } from "../util/paths.ts";
import { EnvironmentDot } from "./environment-dot.tsx";

const ProjectDialog = lazy(() => import("../forms/project-form.tsx").then((module) => ({ default: module.ProjectDialog })));

export function useCurrentScope(): { project: Project | undefined; environment: Environment | undefined; projects: readonly Project[] } {
  const scope = useScope();
  const { data: projects = [] } = useQuery(projectsQuery());
  const project = projects.find(({ slug }) => slug === scope.project);
  return { projects, project, environment: project?.environments?.find(({ slug }) => slug === scope.environment) };
}

/** Which project and environment is looked at. Its colour is also the line on top of the page, so that production is never mistaken. */
export function ScopeSwitch() {
  const { projects, project, environment } = useCurrentScope();
  const go = useGo();
  const denied = useReasonAgainst("projects.manage");
  const [creating, setCreating] = useState(false);
  return (
    <>
      <Menu
        label="Project and environment"
        trigger={(props) => (
          <button
            type="button"
            {...props}
            className="flex w-full items-center gap-2.5 rounded-md border border-line bg-surface px-2.5 py-1.5 text-left shadow-card hover:bg-hover"
          >
            <EnvironmentDot color={environment?.color_hex ?? "transparent"} />
            <span className="min-w-0 grow">
              <span className="sr-only">Project and environment:</span>
              <span className="block truncate text-sm font-medium">{project?.name ?? "…"}</span>
              <span className="block truncate text-xs text-muted">{environment?.name ?? ""}</span>
            </span>
            <ChevronsUpDown className="size-3.5 shrink-0 text-faint" aria-hidden="true" />
          </button>
        )}
      >
        {projects.map((other) => (
          <div key={other.id}>
            <MenuTitle>{other.name}</MenuTitle>
            {(other.environments ?? []).map((item) => (
              <MenuItem
                key={item.id}
                checked={item.id === environment?.id}
                onSelect={() => go(paths.overview({ project: other.slug, environment: item.slug }))}
              >
                <EnvironmentDot color={item.color_hex} />
                <span className="truncate">{item.name}</span>
              </MenuItem>
            ))}
          </div>
        ))}
        {denied === undefined ? (
          <>
            <MenuLine />
            <MenuItem onSelect={() => setCreating(true)}>
              <Plus aria-hidden="true" /> New project
            </MenuItem>
          </>
        ) : null}
      </Menu>
      {creating ? (
        <Suspense>
          <ProjectDialog onClose={() => setCreating(false)} />
        </Suspense>
      ) : null}
    </>
  );
}
