import { CodeLine } from "../ui/code-line.tsx";
import { useScope } from "../hooks/use-scope.ts";

/** What to type while there is nothing to look at yet. */
export function DeployGuide() {
  const { project, environment } = useScope();
  const steps = [
    { text: "Make a project of tasks", code: "helmr init my-tasks && cd my-tasks" },
    { text: "Sign in this server", code: `helmr login --api-url ${location.origin}` },
    { text: "Deploy it here", code: `helmr deploy --project ${project} --env ${environment}` },
    { text: "Start its task", code: `helmr session start hello --project ${project} --env ${environment} --follow` },
  ];
  return (
    <ol className="space-y-3.5 text-left">
      {steps.map(({ text, code }, index) => (
        <li key={code} className="flex gap-3">
          <span
            aria-hidden="true"
            className="mt-0.5 flex size-5 shrink-0 items-center justify-center rounded-full bg-accent-soft text-2xs font-semibold text-accent"
          >
            {index + 1}
          </span>
          <div className="min-w-0 grow">
            <p className="mb-1 text-sm">{text}</p>
            <CodeLine code={code} />
          </div>
        </li>
      ))}
    </ol>
  );
}
