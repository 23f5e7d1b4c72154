/** Every command, in the order of cli.md: help, completion and the generated reference follow it. */
import type { CommandSpec } from "../command.ts";
import { completion } from "./completion.ts";
import { deploy } from "./deploy.ts";
import { deploymentGet } from "./deployment/get.ts";
import { deploymentList } from "./deployment/list.ts";
import { deploymentPromote } from "./deployment/promote.ts";
import { envCreate } from "./env/create.ts";
import { envDelete } from "./env/delete.ts";
import { envGet } from "./env/get.ts";
import { envList } from "./env/list.ts";
import { envUpdate } from "./env/update.ts";
import { init } from "./init.ts";
import { login } from "./login.ts";
import { logout } from "./logout.ts";
import { projectCreate } from "./project/create.ts";
import { projectDelete } from "./project/delete.ts";
import { projectGet } from "./project/get.ts";
import { projectList } from "./project/list.ts";
import { projectUpdate } from "./project/update.ts";
import { runCancel } from "./run/cancel.ts";
import { runEvents } from "./run/events.ts";
import { runGet } from "./run/get.ts";
import { runList } from "./run/list.ts";
import { runLogs } from "./run/logs.ts";
import { runWait } from "./run/wait.ts";
import { sandboxGet } from "./sandbox/get.ts";
import { sandboxList } from "./sandbox/list.ts";
import { secretDelete } from "./secret/delete.ts";
import { secretGet } from "./secret/get.ts";
import { secretList } from "./secret/list.ts";
import { secretSet } from "./secret/set.ts";
import { sessionGet } from "./session/get.ts";
import { sessionCancel, sessionClose } from "./session/lifecycle.ts";
import { sessionList } from "./session/list.ts";
import { sessionStart } from "./session/start.ts";
import { sessionStreamInputSend } from "./session/stream/input-send.ts";
import { sessionStreamList } from "./session/stream/list.ts";
import { sessionStreamInputList, sessionStreamOutputList } from "./session/stream/records.ts";
import { taskGet } from "./task/get.ts";
import { taskList } from "./task/list.ts";
import { tokenCancel } from "./token/cancel.ts";
import { tokenComplete } from "./token/complete.ts";
import { tokenCreate } from "./token/create.ts";
import { tokenGet } from "./token/get.ts";
import { tokenList } from "./token/list.ts";
import { whoami } from "./whoami.ts";
import { workspaceCreate } from "./workspace/create.ts";
import { workspaceDelete } from "./workspace/delete.ts";
import { workspaceExecGet } from "./workspace/exec/get.ts";
import { workspaceExecList } from "./workspace/exec/list.ts";
import { workspaceExecLogs } from "./workspace/exec/logs.ts";
import { workspaceExec } from "./workspace/exec/run.ts";
import { workspaceExecWait } from "./workspace/exec/wait.ts";
import { workspaceGet } from "./workspace/get.ts";
import { workspaceList } from "./workspace/list.ts";
import { workspaceConnect, workspaceMaterialize } from "./workspace/mount.ts";
import { workspaceOpen } from "./workspace/open.ts";
import { workspacePtyClose } from "./workspace/pty/close.ts";
import { workspacePtyConnect } from "./workspace/pty/connect.ts";
import { workspacePtyCreate } from "./workspace/pty/create.ts";
import { workspacePort } from "./workspace/port.ts";
import { workspaceShell } from "./workspace/shell.ts";
import { workspaceCp } from "./workspace/cp.ts";
import { workspaceDiff } from "./workspace/diff.ts";
import { workspaceFiles } from "./workspace/files.ts";
import { workspaceCapture } from "./workspace/capture.ts";
import { workspaceFork } from "./workspace/fork.ts";
import { workspaceRestore } from "./workspace/restore.ts";
import { workspaceVersions } from "./workspace/versions.ts";
import { workspaceStop } from "./workspace/stop.ts";
import { workspaceUpdate } from "./workspace/update.ts";

/** A noun, or a noun below a noun. */
export interface Group {
  name: string;
  summary: string;
}

export const groups: readonly Group[] = [
  { name: "deployment", summary: "see and promote deployments" },
  { name: "sandbox", summary: "see the sandboxes of the current deployment" },
  { name: "task", summary: "see the tasks of the current deployment" },
  { name: "session", summary: "start, see and end sessions" },
  { name: "session stream", summary: "read and write the streams of a session" },
  { name: "session stream input", summary: "send and list input records" },
  { name: "session stream output", summary: "list output records" },
  { name: "run", summary: "see, follow and cancel runs" },
  { name: "token", summary: "create and complete tokens that runs wait for" },
  { name: "workspace", summary: "work with workspaces: commands, terminals, mounts, files, versions" },
  { name: "workspace exec", summary: "run a command in a workspace" },
  { name: "workspace pty", summary: "work with terminals of a workspace" },
  { name: "project", summary: "see and manage projects" },
  { name: "env", summary: "see and manage the environments of a project" },
  { name: "secret", summary: "set and delete secrets" },
];

export const commands: readonly CommandSpec[] = [
  init,
  login,
  logout,
  whoami,
  deploy,
  deploymentList,
  deploymentGet,
  deploymentPromote,
  sandboxList,
  sandboxGet,
  taskList,
  taskGet,
  sessionStart,
  sessionList,
  sessionGet,
  sessionClose,
  sessionCancel,
  sessionStreamList,
  sessionStreamInputSend,
  sessionStreamInputList,
  sessionStreamOutputList,
  runList,
  runGet,
  runLogs,
  runEvents,
  runWait,
  runCancel,
  tokenCreate,
  tokenGet,
  tokenComplete,
  tokenCancel,
  tokenList,
  workspaceCreate,
  workspaceList,
  workspaceGet,
  workspaceUpdate,
  workspaceDelete,
  workspaceOpen,
  workspaceMaterialize,
  workspaceConnect,
  workspaceStop,
  workspaceExec,
  workspaceExecList,
  workspaceExecGet,
  workspaceExecLogs,
  workspaceExecWait,
  workspaceShell,
  workspacePtyCreate,
  workspacePtyConnect,
  workspacePtyClose,
  workspaceFiles,
  workspaceCp,
  workspaceVersions,
  workspaceDiff,
  workspaceCapture,
  workspaceFork,
  workspaceRestore,
  workspacePort,
  projectList,
  projectGet,
  projectCreate,
  projectUpdate,
  projectDelete,
  envList,
  envGet,
  envCreate,
  envUpdate,
  envDelete,
  secretList,
  secretGet,
  secretSet,
  secretDelete,
  completion,
];
