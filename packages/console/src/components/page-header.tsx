import { ChevronRight } from "lucide-react";
import type { ReactNode } from "react";
import { usePageTitle } from "../hooks/use-page-title.ts";
import { AppLink } from "../ui/app-link.tsx";

export interface PageHeaderProps {
  title: string;
  /** Beside the title: a status. */
  badge?: ReactNode;
  /** One line below it. */
  detail?: ReactNode;
  parent?: { label: string; href: string };
  actions?: ReactNode;
}

export function PageHeader({ title, badge, detail, parent, actions }: PageHeaderProps) {
  usePageTitle(title);
  return (
    <header className="mb-4 flex flex-wrap items-start justify-between gap-x-6 gap-y-3">
      <div className="min-w-0">
        {parent ? (
          <AppLink href={parent.href} className="mb-1 inline-flex items-center gap-1 text-xs text-muted hover:text-ink">
            {parent.label} <ChevronRight className="size-3" aria-hidden="true" />
          </AppLink>
        ) : null}
        <div className="flex flex-wrap items-center gap-x-3 gap-y-1">
          <h1 className="min-w-0 text-xl font-semibold tracking-tight break-words">{title}</h1>
          {badge}
        </div>
        {detail === undefined ? null : <div className="mt-1 text-sm text-muted">{detail}</div>}
      </div>
      {actions === undefined ? null : <div className="flex flex-wrap items-center gap-2">{actions}</div>}
    </header>
  );
}
