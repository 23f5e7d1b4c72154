import type { Sandbox } from "@helmr/protocol/api";
import { useQuery } from "@tanstack/react-query";
import { Box } from "lucide-react";
import { sandboxesQuery } from "../api/queries.ts";
import { EmptyState, ListState } from "../components/list-states.tsx";
import { PageHeader } from "../components/page-header.tsx";
import { useScope } from "../hooks/use-scope.ts";
import { Badge, Chip } from "../ui/badge.tsx";
import { Card, Facts } from "../ui/card.tsx";
import { CopyButton } from "../ui/copy-button.tsx";
import { bytesText } from "../util/bytes.ts";

export function SandboxesPage() {
  const sandboxes = useQuery(sandboxesQuery(useScope()));
  return (
    <>
      <PageHeader title="Sandboxes" detail="The machines of the current deployment's tasks: image, resources, network." />
      <ListState
        query={sandboxes}
        empty={
          <Card>
            <EmptyState icon={<Box />} title="No sandbox is deployed here">
              Declare one with sandbox() and deploy.
            </EmptyState>
          </Card>
        }
      >
        {(items) => (
          <div className="grid gap-4 lg:grid-cols-2">
            {items.map((sandbox) => (
              <SandboxCard key={sandbox.id} sandbox={sandbox} />
            ))}
          </div>
        )}
      </ListState>
    </>
  );
}

function SandboxCard({ sandbox }: { sandbox: Sandbox }) {
  const { resource_floor: floor } = sandbox;
  return (
    <Card title={sandbox.sandbox_id} actions={<NetworkBadge sandbox={sandbox} />}>
      <Facts
        items={[
          ["Cores", floor ? floor.milli_cpu / 1_000 : "–"],
          ["Memory", floor ? bytesText(floor.memory_mib * 1024 * 1024) : "–"],
          ["Disk", sandbox.disk_floor_mib === 0 ? "as needed" : bytesText(sandbox.disk_floor_mib * 1024 * 1024)],
          [
            "Workspace",
            <span key="path" className="font-mono text-xs">
              {sandbox.workspace_mount_path}
            </span>,
          ],
          ["Image", <Digest key="image" digest={sandbox.image_digest} />],
          ["Fingerprint", <Digest key="print" digest={sandbox.fingerprint} />],
        ]}
      />
      <NetworkLists sandbox={sandbox} />
    </Card>
  );
}

function NetworkBadge({ sandbox: { network_policy: network } }: { sandbox: Sandbox }) {
  if (!network?.internet) return <Badge tone="plain">no internet</Badge>;
  return network.allow && network.allow.length > 0 ? <Badge tone="info">chosen hosts only</Badge> : <Badge tone="warn">internet</Badge>;
}

function NetworkLists({ sandbox: { network_policy: network } }: { sandbox: Sandbox }) {
  const lists = [
    ["Allowed", network?.allow ?? []],
    ["Denied", network?.deny ?? []],
  ] as const;
  if (lists.every(([, entries]) => entries.length === 0)) return null;
  return (
    <div className="mt-3 space-y-2 border-t border-line pt-3">
      {lists.map(([label, entries]) =>
        entries.length === 0 ? null : (
          <div key={label} className="flex flex-wrap items-center gap-1">
            <span className="mr-1 text-xs text-muted">{label}</span>
            {entries.map((entry) => (
              <Chip key={entry}>{entry}</Chip>
            ))}
          </div>
        ),
      )}
    </div>
  );
}

function Digest({ digest }: { digest: string }) {
  return (
    <span className="inline-flex items-center font-mono text-xs" data-tip={digest}>
      {digest.replace(/^sha256:/, "").slice(0, 12)}
      <CopyButton text={digest} label="Copy digest" />
    </span>
  );
}
