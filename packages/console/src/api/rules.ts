/**
 * Which action a state allows, and why not. Buttons are disabled with the sentence instead of hidden. The server decides; these are its rules
 * (http §4.4, §6, §7.3, §8, §9.3, §11) said early.
 */
import type { ApiKey, Deployment, Exec, Pty, Run, Schedule, Session, Token, Workspace, WorkspaceVersion } from "@helmr/protocol/api";

/** A sentence, or undefined when it is allowed. */
export type Against = string | undefined;

export const sessionRule = {
  close({ status, can_close: canClose }: Session): Against {
    if (status !== "open") return `The session is ${status}`;
    return canClose ? undefined : "A run is active or about to start: wait for it, or cancel the session";
  },
  cancel({ status }: Session): Against {
    return status === "open" ? undefined : `The session is ${status}`;
  },
  send({ status }: Session): Against {
    return status === "open" ? undefined : `The session is ${status} and takes no more input`;
  },
} as const;

export const runRule = {
  cancel({ status }: Run): Against {
    return status === "queued" || status === "running" || status === "waiting" ? undefined : `The run has ended: ${status}`;
  },
} as const;

export const tokenRule = {
  complete({ status }: Token): Against {
    return status === "pending" ? undefined : `The token is ${status}`;
  },
  cancel({ status }: Token): Against {
    return status === "pending" ? undefined : `The token is ${status}`;
  },
} as const;

export const scheduleRule = {
  change({ type }: Schedule): Against {
    return type === "declarative" ? "It is declared in code: change it there and deploy" : undefined;
  },
} as const;

export const deploymentRule = {
  promote({ status }: Deployment, isCurrent: boolean): Against {
    if (isCurrent) return "It is the current deployment";
    return status === "deployed" ? undefined : status === "failed" ? "The build failed" : "The build is not finished";
  },
} as const;

export const workspaceRule = {
  start({ state }: Workspace): Against {
    return state === "active" ? undefined : `The workspace is ${state.replaceAll("_", " ")}`;
  },
  delete({ state }: Workspace): Against {
    return state === "active" || state === "recovery_required" ? undefined : `The workspace is ${state}`;
  },
} as const;

export const versionRule = {
  restore({ state, id }: WorkspaceVersion, currentId: string | undefined): Against {
    if (id === currentId) return "It is the current version";
    return state === "ready" ? undefined : `The version is ${state.replaceAll("_", " ")}`;
  },
  fork({ state }: WorkspaceVersion): Against {
    return state === "ready" ? undefined : `The version is ${state.replaceAll("_", " ")}`;
  },
} as const;

export const execRule = {
  signal({ state }: Exec): Against {
    return state === "running" ? undefined : isExecOver({ state }) ? `It has ended: ${state}` : "It has not begun";
  },
} as const;

export function isExecOver({ state }: Pick<Exec, "state">): boolean {
  return state === "exited" || state === "terminated" || state === "lost" || state === "failed";
}

export function isPtyOver({ state }: Pick<Pty, "state">): boolean {
  return state === "closed" || state === "lost" || state === "failed";
}

export const apiKeyRule = {
  revoke({ status }: ApiKey): Against {
    return status === "active" ? undefined : `The key is ${status}`;
  },
} as const;
