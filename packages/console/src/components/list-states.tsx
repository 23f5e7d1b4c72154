import type { UseQueryResult } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { CircleAlert } from "lucide-react";
import { explainError } from "../api/api-error.ts";
import { Button } from "../ui/button.tsx";
import { SkeletonRows } from "../ui/skeleton.tsx";

export function ErrorState({ error, onRetry }: { error: unknown; onRetry?: () => void }) {
  const { title, detail, code } = explainError(error);
  return (
    <div role="alert" className="flex items-start gap-3 p-4">
      <CircleAlert className="mt-0.5 size-4 shrink-0 text-bad" aria-hidden="true" />
      <div className="min-w-0">
        <p className="text-sm font-medium">{title}</p>
        <p className="mt-0.5 text-sm break-words text-muted">{detail}</p>
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

/** Says what would be here and what to do next. */
export function EmptyState({ title, children, icon }: { title: string; children?: ReactNode; icon?: ReactNode }) {
  return (
    <div className="flex flex-col items-center px-6 py-12 text-center">
      {icon ? <div className="mb-3 text-faint [&_svg]:size-6 [&_svg]:stroke-[1.5]">{icon}</div> : null}
      <p className="text-sm font-medium">{title}</p>
      {children === undefined ? null : <div className="mt-1 max-w-md text-sm text-muted">{children}</div>}
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
