import type { UseQueryResult } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { CircleAlert, SearchX } from "lucide-react";
import { explainError, isStatus } from "../api/api-error.ts";
import { AppLink } from "../ui/app-link.tsx";
import { Button } from "../ui/button.tsx";
import { CodeLine } from "../ui/code-line.tsx";
import { usePageTitle } from "../hooks/use-page-title.ts";
import { SkeletonRows } from "../ui/skeleton.tsx";

export function ErrorState({ error, onRetry }: { error: unknown; onRetry?: () => void }) {
  const { title, detail, next, code } = explainError(error);
  return (
    <div role="alert" className="flex items-start gap-3 p-4">
      <CircleAlert className="mt-0.5 size-4 shrink-0 text-bad" aria-hidden="true" />
      <div className="min-w-0">
        <p className="text-sm font-medium">{title}</p>
        <p className="mt-0.5 text-sm break-words text-muted">
          {detail}
          {next === undefined ? null : ` ${next}`}
        </p>
        {code === undefined ? null : <p className="mt-1 font-mono text-xs text-faint">{code}</p>}
        {onRetry ? (
          <Button size="small" className="mt-3" onClick={onRetry}>
            Try again
          </Button>
        ) : null}
      </div>
    </div>
  );
}

export interface EmptyStateProps {
  title: string;
  children?: ReactNode;
  icon?: ReactNode;
  /** The next thing to type in a terminal. */
  command?: string | undefined;
  /** It is all that the page has to say. */
  heading?: boolean;
}

/** Says what would be here and what to do next. */
export function EmptyState({ title, children, icon, command, heading = false }: EmptyStateProps) {
  const Title = heading ? "h1" : "p";
  return (
    <div className="flex flex-col items-center px-4 py-12 text-center sm:px-6">
      {icon ? <div className="mb-3 text-faint [&_svg]:size-6 [&_svg]:stroke-[1.5]">{icon}</div> : null}
      <Title className={heading ? "text-base font-semibold" : "text-sm font-medium"}>{title}</Title>
      {children === undefined ? null : <div className="mt-1 max-w-md text-sm text-muted">{children}</div>}
      {command === undefined ? null : (
        <div className="mt-4 w-full max-w-xl text-left">
          <CodeLine code={command} />
        </div>
      )}
    </div>
  );
}

/** The three states every list has besides its rows. Old rows stay when a later look fails. */
export function ListState<Item>({
  query,
  empty,
  children,
}: {
  query: UseQueryResult<readonly Item[]>;
  empty: ReactNode;
  children: (items: readonly Item[]) => ReactNode;
}) {
  const { data, error, refetch } = query;
  if (data === undefined) return error ? <ErrorState error={error} onRetry={() => void refetch()} /> : <SkeletonRows />;
  return data.length === 0 ? empty : children(data);
}

/** The same for one thing. */
export function ItemState<Item>({ query, children }: { query: UseQueryResult<Item>; children: (item: Item) => ReactNode }) {
  const { data, error, refetch } = query;
  if (data === undefined) return error ? <ErrorState error={error} onRetry={() => void refetch()} /> : <SkeletonRows />;
  return children(data);
}

export interface PageStateProps<Item> {
  query: UseQueryResult<Item>;
  /** What the page is about, with the list it would be in. */
  noun: string;
  parent: { label: string; href: string };
  children: (item: Item) => ReactNode;
}

/** The same for the thing that a whole page is about: what is not there (or not ours to see) is a page, too. */
export function PageState<Item>({ query, noun, parent, children }: PageStateProps<Item>) {
  const isMissing = query.data === undefined && isStatus(query.error, 400, 404);
  usePageTitle(isMissing ? `No such ${noun}` : undefined);
  if (!isMissing) return <ItemState query={query}>{children}</ItemState>;
  return (
    <EmptyState heading icon={<SearchX />} title={`There is no such ${noun} here`}>
      <p>It may have been deleted, or it belongs to another environment.</p>
      <AppLink href={parent.href} className="mt-2 inline-block text-accent underline">
        {parent.label}
      </AppLink>
    </EmptyState>
  );
}
