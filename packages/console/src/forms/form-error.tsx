import { explainError } from "../api/api-error.ts";

/** The server's answer inside the form that asked. */
export function FormError({ error }: { error: unknown }) {
  if (error === null || error === undefined) return null;
  const { title, detail, next, code } = explainError(error);
  return (
    <div role="alert" className="mt-3 rounded-md bg-bad-soft px-3 py-2 text-sm text-bad">
      <span className="font-medium">{title}. </span>
      {detail}
      {next === undefined ? null : ` ${next}`}
      {code === undefined ? null : <span className="ml-1.5 font-mono text-2xs opacity-80">{code}</span>}
    </div>
  );
}
