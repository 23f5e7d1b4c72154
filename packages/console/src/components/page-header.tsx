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
  /** What the page is about, beside its parent: an id. */
  crumb?: ReactNode;
  actions?: ReactNode;
}

export function PageHeader({ title, badge, detail, parent, crumb, actions }: PageHeaderProps) {
  usePageTitle(title);
  return (
    <header className="mb-4 flex flex-wrap items-start justify-between gap-x-6 gap-y-3">
      <div className="min-w-0">
        {parent ? (
          <nav aria-label="Breadcrumb" className="mb-1 flex h-6 items-center gap-1 text-xs text-muted">
            <AppLink href={parent.href} className="hover:text-ink hover:underline">
              {parent.label}
            </AppLink>
            <ChevronRight className="size-3 text-faint" aria-hidden="true" />
            {crumb ?? <span className="truncate text-faint">{title}</span>}
          </nav>
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
