/** What two versions of a workspace differ in: the files, and one of them line by line. Both sides and the file are in the address. */
import type { TreeChange, WorkspaceVersion } from "@helmr/protocol/api";
import { useQuery } from "@tanstack/react-query";
import { isUnknownRoute } from "../api/api-error.ts";
import { type Comparison, fileDiffQuery, versionDiffQuery } from "../api/queries.ts";
import type { Scope } from "../api/scope.ts";
import { useQueryText, useSetQueryText } from "../hooks/use-query-text.ts";
import { AppLink } from "../ui/app-link.tsx";
import { classes } from "../ui/classes.ts";
import { Select } from "../ui/field.tsx";
import { SkeletonRows } from "../ui/skeleton.tsx";
import { bytesText } from "../util/bytes.ts";
import { type DiffRow, diffRows } from "../util/unified-diff.ts";
import { shortId } from "./id-text.tsx";
import { EmptyState, ErrorState } from "./list-states.tsx";

export interface VersionCompareProps {
  scope: Scope;
  workspaceId: string;
  versions: readonly WorkspaceVersion[];
  to: WorkspaceVersion;
}

export function VersionCompare({ scope, workspaceId, versions, to }: VersionCompareProps) {
  const { base, file } = useQueryText();
  const from = base ?? to.parent_version_id;
  const sides: Comparison = { from, to: to.id };
  return (
    <section aria-label="Comparison" className="border-b border-line">
      <Sides versions={versions} to={to} from={from} />
      {file === undefined ? (
        <Changes scope={scope} workspaceId={workspaceId} sides={sides} />
      ) : (
        <FileChange key={file} scope={scope} workspaceId={workspaceId} sides={sides} path={file} />
      )}
    </section>
  );
}

function Sides({ versions, to, from }: { versions: readonly WorkspaceVersion[]; to: WorkspaceVersion; from: string | undefined }) {
  const setQuery = useSetQueryText();
  const others = versions.filter(({ id, state }) => id !== to.id && state === "ready");
  const options = [
    ...(from === undefined ? [{ value: "", label: "nothing" }] : []),
    ...others.map(({ id, message }) => ({
      value: id,
      label: `${shortId(id)}${id === to.parent_version_id ? " (the one before)" : ""}${message === undefined ? "" : ` ${message}`}`,
    })),
  ];
  return (
    <header className="flex flex-wrap items-center gap-2 border-b border-line bg-sunken/60 px-3.5 py-2 text-sm">
      <span>
        <span className="font-mono text-xs">{shortId(to.id)}</span> compared with
      </span>
      <Select
        aria-label="The other version"
        size="small"
        fit
        value={from ?? ""}
        onChange={(base) => setQuery({ base, file: "" })}
        options={options}
      />
      <AppLink
        search={(before) => ({ ...before, compare: "", base: "", file: "" })}
        className="ml-auto rounded-md px-2 py-1 text-xs text-muted hover:bg-hover hover:text-ink"
      >
        Close
      </AppLink>
    </header>
  );
}

const marks = {
  added: { sign: "+", tone: "text-good" },
  removed: { sign: "−", tone: "text-bad" },
  changed: { sign: "~", tone: "text-warn" },
} as const satisfies Record<TreeChange["change"], { sign: string; tone: string }>;

function Changes({ scope, workspaceId, sides }: { scope: Scope; workspaceId: string; sides: Comparison }) {
  const diff = useQuery(versionDiffQuery(scope, workspaceId, sides));
  if (!diff.data) return diff.error ? <DiffError error={diff.error} onRetry={() => void diff.refetch()} /> : <SkeletonRows rows={3} />;
  const { changes, next_cursor: more } = diff.data;
  if (changes.length === 0) return <EmptyState title="No file differs" />;
  return (
    <>
      <ul aria-label="Changed files" className="divide-y divide-line">
        {changes.map((change) => (
          <ChangeRow key={change.path} change={change} />
        ))}
      </ul>
      {more === undefined ? null : (
        <p className="border-t border-line px-3.5 py-2 text-xs text-muted">The first {changes.length} differences are shown.</p>
      )}
    </>
  );
}

function ChangeRow({ change: { path, change, before, after } }: { change: TreeChange }) {
  const { sign, tone } = marks[change];
  const isFile = (after ?? before)?.kind === "file";
  return (
    <li className="relative flex items-center gap-3 px-3.5 py-1.5 font-mono text-xs hover:bg-hover/60">
      <span className={classes("w-3 shrink-0 text-center font-semibold", tone)} aria-label={change} role="img">
        {sign}
      </span>
      {isFile ? (
        <AppLink search={(query) => ({ ...query, file: path })} className="min-w-0 grow truncate before:absolute before:inset-0">
          {path}
        </AppLink>
      ) : (
        <span className="min-w-0 grow truncate">
          {path}
          {(after ?? before)?.kind === "directory" ? "/" : ""}
        </span>
      )}
      <span className="text-muted">{sizesText(before?.size_bytes, after?.size_bytes, isFile)}</span>
    </li>
  );
}

function sizesText(before: number | undefined, after: number | undefined, isFile: boolean): string {
  if (!isFile) return "";
  if (before === undefined || after === undefined) return bytesText(after ?? before ?? 0);
  return before === after ? bytesText(after) : `${bytesText(before)} → ${bytesText(after)}`;
}

function FileChange({ scope, workspaceId, sides, path }: { scope: Scope; workspaceId: string; sides: Comparison; path: string }) {
  const diff = useQuery(fileDiffQuery(scope, workspaceId, { ...sides, path }));
  return (
    <>
      <p className="flex items-center gap-2 border-b border-line px-3.5 py-1.5 font-mono text-xs">
        <AppLink search={(before) => ({ ...before, file: "" })} className="font-sans text-accent hover:underline">
          All files
        </AppLink>
        <span className="text-faint">/</span>
        <span className="min-w-0 truncate">{path}</span>
      </p>
      {diff.data ? (
        diff.data.format === "text" ? (
          <UnifiedDiff rows={diffRows(diff.data.unified ?? "")} />
        ) : (
          <EmptyState title={diff.data.format === "binary" ? "The file is not text" : "The file is too large to compare line by line"} />
        )
      ) : diff.error ? (
        <DiffError error={diff.error} onRetry={() => void diff.refetch()} />
      ) : (
        <SkeletonRows rows={5} />
      )}
    </>
  );
}

const rowLooks: Record<DiffRow["kind"], { sign: string; className: string }> = {
  hunk: { sign: "", className: "bg-sunken text-faint" },
  added: { sign: "+", className: "bg-good-soft" },
  removed: { sign: "−", className: "bg-bad-soft" },
  same: { sign: "", className: "" },
  note: { sign: "", className: "text-faint" },
};

function UnifiedDiff({ rows }: { rows: readonly DiffRow[] }) {
  if (rows.length === 0) return <EmptyState title="Its text is the same" />;
  return (
    <div
      role="region"
      aria-label="Changed lines"
      tabIndex={0}
      className="max-h-[70vh] overflow-auto bg-log font-mono text-xs leading-5 focus-visible:-outline-offset-2"
    >
      <table className="min-w-full border-collapse">
        <tbody>
          {rows.map((row, index) => (
            <tr key={index} className={rowLooks[row.kind].className}>
              <td className="w-px px-2 text-right text-faint select-none">{row.before ?? ""}</td>
              <td className="w-px border-r border-line px-2 text-right text-faint select-none">{row.after ?? ""}</td>
              <td className="w-px pl-2 text-muted select-none">{rowLooks[row.kind].sign}</td>
              <td className="pr-4 pl-1 whitespace-pre">{row.text}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function DiffError({ error, onRetry }: { error: unknown; onRetry: () => void }) {
  if (isUnknownRoute(error))
    return <EmptyState title="This server does not compare versions">It may be older than this console.</EmptyState>;
  return <ErrorState error={error} onRetry={onRetry} />;
}
