import type { Me } from "@helmr/protocol/api";
import type { Permission } from "@helmr/protocol/shared";
import { useQuery } from "@tanstack/react-query";
import { meQuery } from "../api/queries.ts";

export function useMe(): Me | undefined {
  return useQuery(meQuery()).data;
}

/** Why this user may not, or undefined when they may: for the `reason` of a button. */
export function useReasonAgainst(permission: Permission): string | undefined {
  const me = useMe();
  if (!me || me.permissions.includes(permission)) return undefined;
  return `Your role${me.role === undefined ? "" : ` (${me.role})`} does not have the permission ${permission}`;
}
