/** Every state of the wire with its tone, in one table per resource. */
import type {
  ApiKey,
  Deployment,
  Exec,
  Invitation,
  Member,
  Pty,
  Run,
  Schedule,
  Session,
  Token,
  Workspace,
  WorkspaceVersion,
} from "@helmr/protocol/api";
import { Badge, type BadgeTone } from "../ui/badge.tsx";

interface Look {
  tone: BadgeTone;
  live?: true;
}

const looks = {
  run: {
    queued: { tone: "warn" },
    running: { tone: "info", live: true },
    waiting: { tone: "wait" },
    succeeded: { tone: "good" },
    failed: { tone: "bad" },
    cancelled: { tone: "plain" },
    expired: { tone: "warn" },
  } satisfies Record<Run["status"], Look>,
  session: {
    open: { tone: "info" },
    closed: { tone: "plain" },
    cancelled: { tone: "plain" },
    expired: { tone: "warn" },
  } satisfies Record<Session["status"], Look>,
  activity: {
    idle: { tone: "plain" },
    queued: { tone: "warn" },
    running: { tone: "info", live: true },
    waiting: { tone: "wait" },
  } satisfies Record<Session["activity"], Look>,
  token: {
    pending: { tone: "wait" },
    completed: { tone: "good" },
    expired: { tone: "warn" },
    cancelled: { tone: "plain" },
  } satisfies Record<Token["status"], Look>,
  schedule: {
    active: { tone: "good" },
    inactive: { tone: "plain" },
    errored: { tone: "bad" },
  } satisfies Record<Schedule["status"], Look>,
  deployment: {
    queued: { tone: "warn" },
    building: { tone: "info", live: true },
    deployed: { tone: "good" },
    failed: { tone: "bad" },
  } satisfies Record<Deployment["status"], Look>,
  workspace: {
    active: { tone: "good" },
    deleting: { tone: "warn" },
    recovery_required: { tone: "bad" },
    archived: { tone: "plain" },
    deleted: { tone: "plain" },
  } satisfies Record<Workspace["state"], Look>,
  dirty: {
    clean: { tone: "plain" },
    dirty: { tone: "info" },
    capturing: { tone: "info", live: true },
    capture_failed: { tone: "bad" },
    dirty_state_lost: { tone: "bad" },
  } satisfies Record<Workspace["dirty_state"], Look>,
  version: {
    capturing: { tone: "info", live: true },
    artifact_verified: { tone: "info" },
    ready: { tone: "good" },
    failed: { tone: "bad" },
    deleted: { tone: "plain" },
  } satisfies Record<WorkspaceVersion["state"], Look>,
  exec: {
    queued: { tone: "warn" },
    materializing: { tone: "warn", live: true },
    running: { tone: "info", live: true },
    exited: { tone: "plain" },
    terminated: { tone: "plain" },
    lost: { tone: "bad" },
    failed: { tone: "bad" },
  } satisfies Record<Exec["state"], Look>,
  pty: {
    creating: { tone: "warn", live: true },
    open: { tone: "good" },
    resizing: { tone: "good" },
    closing: { tone: "warn" },
    closed: { tone: "plain" },
    lost: { tone: "bad" },
    failed: { tone: "bad" },
  } satisfies Record<Pty["state"], Look>,
  apiKey: {
    active: { tone: "good" },
    expired: { tone: "warn" },
    revoked: { tone: "plain" },
  } satisfies Record<ApiKey["status"], Look>,
  member: {
    active: { tone: "good" },
    disabled: { tone: "plain" },
  } satisfies Record<Member["status"], Look>,
  invitation: {
    pending: { tone: "wait" },
    accepted: { tone: "good" },
    revoked: { tone: "plain" },
    expired: { tone: "warn" },
  } satisfies Record<Invitation["status"], Look>,
};

type Looks = typeof looks;

export function StatusBadge<Of extends keyof Looks>({ of, status }: { of: Of; status: keyof Looks[Of] & string }) {
  const look: Look = (looks[of] as Record<string, Look>)[status] ?? { tone: "plain" };
  return (
    <Badge tone={look.tone} live={look.live === true}>
      {status.replaceAll("_", " ")}
    </Badge>
  );
}

/** One badge for a session: what it does while it is open, how it ended afterwards. */
export function SessionBadge({ session }: { session: Session }) {
  return session.status === "open" ? (
    <StatusBadge of="activity" status={session.activity} />
  ) : (
    <StatusBadge of="session" status={session.status} />
  );
}
