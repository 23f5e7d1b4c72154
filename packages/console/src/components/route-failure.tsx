import { type ErrorComponentProps, useRouter } from "@tanstack/react-router";
import { ErrorState } from "./list-states.tsx";

/** A page that could not be shown at all. A release in between takes away old files: loading the page again gets the new ones. */
export function RouteFailure({ error, reset }: ErrorComponentProps) {
  const router = useRouter();
  const retry = () => {
    if (error instanceof Error && /dynamically imported module/i.test(error.message)) location.reload();
    else {
      reset();
      void router.invalidate();
    }
  };
  return (
    <div className="mx-auto mt-16 max-w-lg rounded-lg border border-line bg-surface">
      <ErrorState error={error} onRetry={retry} />
    </div>
  );
}
