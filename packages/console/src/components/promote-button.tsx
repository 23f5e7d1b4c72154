import type { Deployment } from "@helmr/protocol/api";
import { useQuery } from "@tanstack/react-query";
import { ArrowUpToLine } from "lucide-react";
import { call } from "../api/call.ts";
import { currentDeploymentQuery } from "../api/queries.ts";
import { deploymentRule } from "../api/rules.ts";
import { type Scope, scopeKey } from "../api/scope.ts";
import { useAction } from "../hooks/use-action.ts";
import { useReasonAgainst } from "../hooks/use-me.ts";
import { Button, type ButtonProps } from "../ui/button.tsx";
import { useConfirm } from "../ui/confirm.tsx";

export function PromoteButton({
  scope,
  deployment,
  ...look
}: { scope: Scope; deployment: Deployment } & Pick<ButtonProps, "look" | "size">) {
  const { data: current } = useQuery(currentDeploymentQuery(scope));
  const confirm = useConfirm();
  const denied = useReasonAgainst("tasks.deploy");
  const promote = useAction({
    run: () => call("deployments.promote", { scope, params: { id: deployment.id }, body: {} }),
    refresh: [scopeKey(scope)],
    done: ({ version }) => `Version ${version} is the current deployment`,
  });
  const ask = async () => {
    const yes = await confirm({
      title: `Promote version ${deployment.version}?`,
      detail: `New sessions of ${scope.project} / ${scope.environment} use it from now on. Sessions that are open keep theirs.`,
      action: "Promote",
    });
    if (yes) promote.start();
  };
  const reason = deploymentRule.promote(deployment, current?.id === deployment.id) ?? denied;
  return (
    <Button {...look} icon={<ArrowUpToLine />} busy={promote.busy} reason={reason} onClick={() => void ask()}>
      Promote
    </Button>
  );
}
