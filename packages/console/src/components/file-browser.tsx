/** The files of a workspace, as of a version or live. Source, folder and file are in the address. */
import type { FileEntry, FileSource, Workspace } from "@helmr/protocol/api";
import { useQuery } from "@tanstack/react-query";
import { CornerLeftUp, Download, File, Folder, Link2 } from "lucide-react";
import { ApiError, isStatus, isUnknownRoute } from "../api/api-error.ts";
import { type FileRead, fileContentUrl, filesQuery } from "../api/queries.ts";
import type { Scope } from "../api/scope.ts";
import { useFileText } from "../hooks/use-file-text.ts";
import { useQueryText, useSetQueryText } from "../hooks/use-query-text.ts";
import { AppLink } from "../ui/app-link.tsx";
import { buttonClasses } from "../ui/button.tsx";
import { Select } from "../ui/field.tsx";
import { SkeletonRows } from "../ui/skeleton.tsx";
import { bytesText } from "../util/bytes.ts";
import type { SearchParams } from "../util/search-params.ts";
import { crumbsOf, modeText, nameOf, parentOf } from "../util/file-path.ts";
import { ArchiveLink, RemoveFileButton, UploadButton } from "./file-actions.tsx";
import { EmptyState, ErrorState } from "./list-states.tsx";
import { RelativeTime } from "./relative-time.tsx";

export function FileBrowser({ scope, workspace }: { scope: Scope; workspace: Workspace }) {
  const { path = ".", file, source = "current", version: versionId } = useQueryText();
  const read: FileRead = {
    workspaceId: workspace.id,
    path,
    source: versionId === undefined ? (source as FileSource) : "version",
    versionId,
  };
  return (
    <div>
      <div className="flex flex-wrap items-center gap-x-3 gap-y-2 border-b border-line px-3.5 py-2">
        <Crumbs path={file ?? path} />
        <SourceChoice versionId={versionId} />
        {file === undefined && versionId === undefined ? (
          <span className="flex items-center gap-1.5">
            {source === "live" ? <ArchiveLink scope={scope} read={read} /> : null}
            <UploadButton scope={scope} workspaceId={workspace.id} folder={path} />
          </span>
        ) : null}
      </div>
      {file === undefined ? <Entries scope={scope} read={read} /> : <Content scope={scope} read={{ ...read, path: file }} />}
    </div>
  );
}

function Crumbs({ path }: { path: string }) {
  const crumbs = crumbsOf(path);
  return (
    <nav aria-label="Folder" className="flex min-w-0 grow flex-wrap items-center gap-1 font-mono text-xs">
      <AppLink search={(before) => ({ ...before, path: "", file: "" })} className="rounded px-1 py-0.5 text-accent hover:bg-hover">
        workspace
      </AppLink>
      {crumbs.map(({ name, path: target }, index) => (
        <span key={target} className="flex items-center gap-1">
          <span className="text-faint">/</span>
          {index === crumbs.length - 1 ? (
            <span className="px-1">{name}</span>
          ) : (
            <AppLink
              search={(before) => ({ ...before, path: target, file: "" })}
              className="rounded px-1 py-0.5 text-accent hover:bg-hover"
            >
              {name}
            </AppLink>
          )}
        </span>
      ))}
    </nav>
  );
}

function SourceChoice({ versionId }: { versionId: string | undefined }) {
  const { source = "current" } = useQueryText();
  const setQuery = useSetQueryText();
  const options = [
    { value: "current", label: "Current version" },
    { value: "live", label: "Live, as mounted now" },
    ...(versionId === undefined ? [] : [{ value: "version", label: `Version ${versionId.slice(-8)}` }]),
  ];
  return (
    <Select
      aria-label="Which state of the files"
      size="small"
      fit
      value={versionId === undefined ? source : "version"}
      onChange={(next) => setQuery({ source: next === "live" ? "live" : "", version: next === "version" ? (versionId ?? "") : "" })}
      options={options}
    />
  );
}

const icons = { directory: Folder, file: File, symlink: Link2 } as const;

function Entries({ scope, read }: { scope: Scope; read: FileRead }) {
  const files = useQuery(filesQuery(scope, read));
  if (!files.data) return files.error ? <FilesError error={files.error} onRetry={() => void files.refetch()} /> : <SkeletonRows />;
  const { entries, next_cursor: more } = files.data;
  const sorted = entries.toSorted((left, right) => rank(left) - rank(right) || left.path.localeCompare(right.path));
  return (
    <>
      {read.path === "." ? null : (
        <AppLink
          search={(before) => ({ ...before, path: parentOf(read.path) === "." ? "" : parentOf(read.path) })}
          className="flex items-center gap-2.5 border-b border-line px-3.5 py-1.5 text-sm text-muted hover:bg-hover/60"
        >
          <CornerLeftUp className="size-4" aria-hidden="true" /> Up
        </AppLink>
      )}
      {sorted.length === 0 ? <EmptyState title="This folder is empty" /> : null}
      <ul aria-label="Files" className="divide-y divide-line">
        {sorted.map((entry) => (
          <Entry key={entry.path} entry={entry} />
        ))}
      </ul>
      {more === undefined ? null : (
        <p className="border-t border-line px-3.5 py-2 text-xs text-muted">The first {entries.length} entries are shown.</p>
      )}
    </>
  );
}

function rank({ kind }: FileEntry): number {
  return kind === "directory" ? 0 : 1;
}

function Entry({ entry }: { entry: FileEntry }) {
  const Icon = icons[entry.kind];
  const change: SearchParams = entry.kind === "directory" ? { path: entry.path, file: "" } : { file: entry.path };
  const label = (
    <>
      <Icon className="size-4 shrink-0 text-muted" aria-label={entry.kind} />
      <span className="min-w-0 truncate">{entry.name ?? nameOf(entry.path)}</span>
      {entry.link_target === undefined ? null : <span className="min-w-0 truncate text-muted">→ {entry.link_target}</span>}
    </>
  );
  return (
    <li className="relative flex items-center gap-4 px-3.5 py-1.5 font-mono text-xs hover:bg-hover/60">
      {entry.kind === "symlink" ? (
        <span className="flex min-w-0 grow items-center gap-2.5">{label}</span>
      ) : (
        <AppLink
          search={(before) => ({ ...before, ...change })}
          className="flex min-w-0 grow items-center gap-2.5 before:absolute before:inset-0"
        >
          {label}
        </AppLink>
      )}
      <span className="text-2xs text-faint max-sm:hidden">{modeText(entry.mode)}</span>
      <span className="w-20 text-right text-muted">{entry.kind === "file" ? bytesText(entry.size_bytes) : ""}</span>
      <span className="w-24 text-right font-sans text-muted max-sm:hidden">
        {entry.mod_time === undefined ? "" : <RelativeTime at={entry.mod_time} />}
      </span>
    </li>
  );
}

function Content({ scope, read }: { scope: Scope; read: FileRead }) {
  const file = useFileText(scope, read);
  if (!file.data) return file.error ? <FilesError error={file.error} onRetry={() => void file.refetch()} /> : <SkeletonRows />;
  const { kind, text, size, cut } = file.data;
  return (
    <>
      <div className="flex items-center gap-3 border-b border-line px-3.5 py-1.5 text-xs text-muted">
        <span>{bytesText(size)}</span>
        {cut && kind === "text" ? <span>the beginning is shown</span> : null}
        <span className="ml-auto flex items-center gap-1.5">
          <a href={fileContentUrl(scope, read)} download={nameOf(read.path)} className={buttonClasses("plain", "small")}>
            <Download aria-hidden="true" /> Download
          </a>
          {read.source === "live" ? <RemoveFileButton scope={scope} read={read} /> : null}
        </span>
      </div>
      {kind === "binary" ? <EmptyState title="This file is not text">Download it to look at it.</EmptyState> : <Lines text={text} />}
    </>
  );
}

function Lines({ text }: { text: string }) {
  const lines = text.split("\n");
  return (
    <div className="flex max-h-[70vh] overflow-auto bg-log font-mono text-xs leading-5" tabIndex={0} role="region" aria-label="Content">
      <pre aria-hidden="true" className="sticky left-0 shrink-0 border-r border-line bg-log px-3 py-2 text-right text-faint select-none">
        {lines.map((_, index) => index + 1).join("\n")}
      </pre>
      <pre className="px-3 py-2">{text}</pre>
    </div>
  );
}

function FilesError({ error, onRetry }: { error: unknown; onRetry: () => void }) {
  if (isUnknownRoute(error))
    return (
      <EmptyState title="This server does not show files">
        It may be older than this console. The workspace and its versions are kept.
      </EmptyState>
    );
  if (isStatus(error, 404)) return <MissingFile error={error} />;
  if (isStatus(error, 409))
    return (
      <EmptyState title="The workspace's machine is not running">
        Live files exist while a run, a command or a terminal uses it. "Start machine" above starts it.
      </EmptyState>
    );
  return <ErrorState error={error} onRetry={onRetry} />;
}

/** Each of these is an ordinary state of a workspace. */
function MissingFile({ error }: { error: unknown }) {
  const code = error instanceof ApiError ? error.code : undefined;
  const { path, file, version, source } = useQueryText();
  if (code === "workspace_no_current_version")
    return <EmptyState title="No file yet">The first version is made when a run or a terminal has written something.</EmptyState>;
  const elsewhere = path ?? file ?? version ?? source;
  return (
    <EmptyState title={code === "workspace_version_not_readable" ? "This version cannot be read" : "Nothing has this path here"}>
      {code === "workspace_version_not_readable"
        ? "It is not complete, or its data is missing from the store. Other versions stand on their own. "
        : null}
      {elsewhere === undefined ? null : (
        <AppLink search={(before) => ({ ...before, path: "", file: "", source: "", version: "" })} className="text-accent underline">
          Go to the top of the current version
        </AppLink>
      )}
    </EmptyState>
  );
}
