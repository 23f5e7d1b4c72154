/**
 * The supervisor as PID 1 starts it (init/stage.c), before the template's snapshot: it opens the control port, warms itself up and says hello.
 * Nothing random and nothing of a tenant may exist here before `attach`. When it ends the machine ends.
 */
import { readFileSync } from "node:fs";
import { helmrVersion } from "@helmr/protocol/shared";
import { openControlPort } from "../init/control-port.ts";
import { guestPlaces } from "./attachment.ts";
import { controlGroups } from "./control-group.ts";
import { guestTool } from "./guest-tool.ts";
import { serveWire } from "./host-wire.ts";
import { type Builder, type ImageStepper, Supervisor } from "./supervisor.ts";
import { warmUp } from "./warm-up.ts";

const tenantGroup = "/sys/fs/cgroup/task";
const buildBundle = "/opt/helmr/lib/build.mjs";

async function main(): Promise<void> {
  const device = process.env["HELMR_CONTROL_DEVICE"] ?? "/dev/vport0p1";
  const toolPath = process.env["HELMR_GUEST_TOOL"] ?? "/opt/helmr/bin/helmr-guest";
  const supervisor = new Supervisor({
    version: helmrVersion,
    bootId: readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim(),
    tool: guestTool(toolPath),
    groups: controlGroups(tenantGroup),
    tenantGroup,
    places: guestPlaces,
    loadBuilder: async () => (await import(buildBundle)) as { build: Builder; imageStep: ImageStepper },
  });
  await warmUp();
  openControlPort(device, (wire) => serveWire(wire, supervisor.link));
}

void main();
