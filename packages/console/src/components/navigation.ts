/** The places of an environment, in the order of the side bar; the command palette and the keys `g` + letter use the same list. */
import {
  Box,
  CalendarClock,
  CirclePlay,
  FolderGit2,
  Gauge,
  Hand,
  KeyRound,
  LockKeyhole,
  MessagesSquare,
  Rocket,
  Settings2,
  SquareCode,
  Users,
} from "lucide-react";
import type { ComponentType } from "react";
import type { Permission } from "@helmr/protocol/shared";
import type { Scope } from "../api/scope.ts";
import { paths } from "../util/paths.ts";

export interface Place {
  label: string;
  href: (scope: Scope) => string;
  icon: ComponentType<{ className?: string; "aria-hidden"?: "true" }>;
  /** After `g`. */
  key: string;
  needs?: Permission;
}

export const places: readonly { title?: string; places: readonly Place[] }[] = [
  {
    places: [
      { label: "Overview", href: paths.overview, icon: Gauge, key: "o" },
      { label: "Sessions", href: paths.sessions, icon: MessagesSquare, key: "s" },
      { label: "Runs", href: paths.runs, icon: CirclePlay, key: "r" },
      { label: "Tokens", href: paths.tokens, icon: Hand, key: "t" },
      { label: "Schedules", href: paths.schedules, icon: CalendarClock, key: "c" },
    ],
  },
  {
    title: "Code",
    places: [
      { label: "Tasks", href: paths.tasks, icon: SquareCode, key: "k" },
      { label: "Deployments", href: paths.deployments, icon: Rocket, key: "d", needs: "tasks.deploy" },
      { label: "Sandboxes", href: paths.sandboxes, icon: Box, key: "b" },
      { label: "Workspaces", href: paths.workspaces, icon: FolderGit2, key: "w" },
    ],
  },
  {
    title: "Settings",
    places: [
      { label: "Secrets", href: paths.secrets, icon: LockKeyhole, key: "e", needs: "secrets.write" },
      { label: "API keys", href: paths.apiKeys, icon: KeyRound, key: "a", needs: "api_keys.manage" },
      { label: "Members", href: paths.members, icon: Users, key: "m", needs: "members.manage" },
      { label: "Project", href: paths.settings, icon: Settings2, key: "p" },
    ],
  },
];
