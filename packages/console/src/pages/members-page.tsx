import type { Invitation, Member } from "@helmr/protocol/api";
import { useQuery } from "@tanstack/react-query";
import { Plus, UserRoundX, Users } from "lucide-react";
import { useState } from "react";
import { call } from "../api/call.ts";
import { invitationsQuery, membersQuery } from "../api/queries.ts";
import { EmptyState, ListState } from "../components/list-states.tsx";
import { PageHeader } from "../components/page-header.tsx";
import { RelativeTime } from "../components/relative-time.tsx";
import { StatusBadge } from "../components/status-badge.tsx";
import { InvitationDialog, roleOptions } from "../forms/invitation-form.tsx";
import { useAction } from "../hooks/use-action.ts";
import { useMe, useReasonAgainst } from "../hooks/use-me.ts";
import { Button } from "../ui/button.tsx";
import { Card } from "../ui/card.tsx";
import { useConfirm } from "../ui/confirm.tsx";
import { Select } from "../ui/field.tsx";
import { type Column, Table } from "../ui/table.tsx";

export function MembersPage() {
  const me = useMe();
  const members = useQuery(membersQuery());
  const denied = useReasonAgainst("members.manage");
  const [inviting, setInviting] = useState(false);
  return (
    <>
      <PageHeader
        title="Members"
        detail={`Of ${me?.org_name ?? "the organization"}, in all its projects.`}
        actions={
          <Button look="primary" icon={<Plus />} reason={denied} onClick={() => setInviting(true)}>
            Invite
          </Button>
        }
      />
      <div className="space-y-4">
        <Card flush>
          <ListState query={members} empty={<EmptyState icon={<Users />} title="No members" />}>
            {(items) => (
              <Table
                label="Members"
                rows={items}
                columns={memberColumns(denied)}
                keyOf={({ user_id: id }) => id}
                actions={(member) => (
                  <RemoveMember member={member} reason={denied ?? (member.user_id === me?.user_id ? "This is you" : undefined)} />
                )}
              />
            )}
          </ListState>
        </Card>
        {denied === undefined ? <Invitations /> : null}
      </div>
      {inviting ? <InvitationDialog onClose={() => setInviting(false)} /> : null}
    </>
  );
}

function memberColumns(denied: string | undefined): readonly Column<Member>[] {
  return [
    {
      key: "name",
      title: "Name",
      render: ({ display_name: name, email }) => (
        <span className="block leading-tight">
          <span className="block font-medium">{name}</span>
          {email === undefined || email === name ? null : <span className="block text-xs text-muted">{email}</span>}
        </span>
      ),
    },
    { key: "status", title: "Status", from: "sm", render: ({ status }) => <StatusBadge of="member" status={status} /> },
    { key: "role", title: "Role", render: (member) => (denied === undefined ? <RoleChoice member={member} /> : member.role) },
    { key: "gap", title: "", grow: true, from: "md", render: () => null },
    { key: "since", title: "Since", from: "md", align: "right", render: (member) => <RelativeTime at={member.created_at} /> },
  ];
}

/** The role it had is sent along: a change that somebody else made meanwhile is not overwritten. */
function RoleChoice({ member }: { member: Member }) {
  const change = useAction({
    run: (role: Member["role"]) =>
      call("members.update", { params: { userID: member.user_id }, body: { role, expected_role: member.role } }),
    refresh: [["members"], ["me"]],
    done: (_, role) => `${member.display_name} is now ${role}`,
  });
  return (
    <Select
      aria-label={`Role of ${member.display_name}`}
      size="small"
      fit
      value={member.role}
      disabled={change.busy || member.status !== "active"}
      onChange={(role) => change.start(role as Member["role"])}
      options={roleOptions}
    />
  );
}

function RemoveMember({ member, reason }: { member: Member; reason: string | undefined }) {
  const confirm = useConfirm();
  const remove = useAction({
    run: () => call("members.delete", { params: { userID: member.user_id } }),
    refresh: [["members"]],
    done: `${member.display_name} is no longer a member`,
  });
  const ask = async () => {
    const detail = "Their sign-ins and their API keys end at once.";
    if (await confirm({ title: `Remove ${member.display_name}?`, detail, action: "Remove member" })) remove.start();
  };
  return (
    <Button
      size="small"
      look="ghost"
      icon={<UserRoundX />}
      busy={remove.busy}
      reason={reason ?? (member.status === "active" ? undefined : "The membership has ended")}
      aria-label={`Remove ${member.display_name}`}
      onClick={() => void ask()}
    />
  );
}

const invitationColumns: readonly Column<Invitation>[] = [
  { key: "email", title: "Address", render: ({ email }) => email },
  { key: "role", title: "Role", render: ({ role }) => role },
  { key: "status", title: "Status", render: ({ status }) => <StatusBadge of="invitation" status={status} /> },
  { key: "gap", title: "", grow: true, from: "md", render: () => null },
  { key: "created", title: "Sent", from: "md", align: "right", render: (item) => <RelativeTime at={item.created_at} /> },
  { key: "expires", title: "Expires", from: "sm", align: "right", render: (item) => <RelativeTime at={item.expires_at} /> },
];

function Invitations() {
  const invitations = useQuery(invitationsQuery());
  return (
    <Card title="Invitations" flush>
      <ListState query={invitations} empty={<p className="px-3.5 py-6 text-center text-sm text-muted">Nobody is invited at the moment.</p>}>
        {(items) => (
          <Table
            label="Invitations"
            rows={items}
            columns={invitationColumns}
            keyOf={({ id }) => id}
            actions={(invitation) => <RevokeInvitation invitation={invitation} />}
          />
        )}
      </ListState>
    </Card>
  );
}

function RevokeInvitation({ invitation }: { invitation: Invitation }) {
  const revoke = useAction({
    run: () => call("invitations.delete", { params: { id: invitation.id } }),
    refresh: [["invitations"]],
    done: `The invitation of ${invitation.email} is revoked`,
  });
  return (
    <Button
      size="small"
      look="ghost"
      busy={revoke.busy}
      reason={invitation.status === "pending" ? undefined : `It is ${invitation.status}`}
      onClick={() => revoke.start()}
    >
      Revoke
    </Button>
  );
}
