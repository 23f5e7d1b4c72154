import type { ReactNode } from "react";
import { usePageTitle } from "../hooks/use-page-title.ts";
import { Logo } from "./logo.tsx";

/** Pages before and beside the console itself: login, invitations, device approval. */
export function CenteredPage({ title, detail, children }: { title: string; detail?: ReactNode; children?: ReactNode }) {
  usePageTitle(title);
  return (
    <main className="flex min-h-dvh flex-col items-center bg-sunken px-4 pt-[14vh] pb-12">
      <Logo className="size-10" />
      <h1 className="mt-5 text-center text-xl font-semibold tracking-tight">{title}</h1>
      {detail === undefined ? null : <div className="mt-1.5 max-w-md text-center text-sm text-muted">{detail}</div>}
      {children === undefined ? null : (
        <div className="mt-6 w-full max-w-sm rounded-lg border border-line bg-surface p-5 shadow-card">{children}</div>
      )}
    </main>
  );
}
