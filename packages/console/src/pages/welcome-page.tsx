import { Navigate } from "@tanstack/react-router";
import { CenteredPage } from "../components/centered-page.tsx";
import { OrganizationForm } from "../forms/organization-form.tsx";
import { ProjectForm } from "../forms/project-form.tsx";
import { useGo } from "../hooks/use-go.ts";
import { useMe } from "../hooks/use-me.ts";
import { startScope } from "../util/last-scope.ts";
import { paths } from "../util/paths.ts";

/** What is missing before the console is of use: an organization, then a project. */
export function WelcomePage() {
  const me = useMe();
  const go = useGo();
  if (!me) return null;
  if (me.organization_required)
    return (
      <CenteredPage title={`Welcome, ${me.display_name}`} detail="Name the organization that this server works for. You become its owner.">
        <OrganizationForm needsToken={me.setup_token_required} />
      </CenteredPage>
    );
  if (me.access_required)
    return (
      <CenteredPage
        title="You have no access yet"
        detail="This server has an organization, and you are not a member of it. Ask one of its owners for an invitation, then open its link."
      />
    );
  if (me.project_required)
    return (
      <CenteredPage title="Your first project" detail="A project holds tasks. It starts with the environments production and staging.">
        <ProjectForm
          onCreated={(project) => {
            const scope = startScope([project], undefined);
            go(scope ? paths.overview(scope) : paths.home());
          }}
        />
      </CenteredPage>
    );
  return <Navigate to="/" />;
}
