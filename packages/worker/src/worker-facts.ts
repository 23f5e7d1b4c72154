/** What a worker says of itself, and with it which snapshots it can restore (protocol/worker/leases.ts, workerRestores). */
import { arch, hostname } from "node:os";
import { helmrVersion } from "@helmr/protocol/shared";
import type { WorkerFacts } from "@helmr/protocol/worker";
import type { GuestFiles } from "./templates/template-store.ts";
import type { VmDriver } from "./vm/driver.ts";

export async function workerFacts({ driver: vm, guestFiles }: { driver: VmDriver; guestFiles: GuestFiles }): Promise<WorkerFacts> {
  const { driver, version, accelerator, explanation, cpuFamily } = await vm.facts();
  return {
    version: helmrVersion,
    driver,
    driver_version: version.slice(0, 64),
    accelerator,
    accelerator_explanation: explanation.slice(0, 4096),
    cpu_family: cpuFamily.slice(0, 256),
    architecture: arch() === "arm64" ? "arm64" : "amd64",
    hostname: hostname().slice(0, 256),
    // The key that a template of nothing but the guest itself would have.
    guest: await vm.templateKey({ ...guestFiles, image: guestFiles.substrate, shape: { vcpus: 0, memoryMib: 0 } }),
  };
}
