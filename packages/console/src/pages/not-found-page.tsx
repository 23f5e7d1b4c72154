import { CenteredPage } from "../components/centered-page.tsx";
import { AppLink } from "../ui/app-link.tsx";
import { paths } from "../util/paths.ts";

export function NotFoundPage() {
  return (
    <CenteredPage
      title="Nothing is here"
      detail={
        <>
          It may have been deleted, or it belongs to an organization you are not a member of.{" "}
          <AppLink href={paths.home()} className="text-accent underline">
            Go to the overview
          </AppLink>
        </>
      }
    />
  );
}
