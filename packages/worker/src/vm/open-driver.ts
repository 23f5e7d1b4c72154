/** The driver of this host, from what was prepared for it. The only place that chooses one. */
import type { Accelerator, VmDriver } from "./driver.ts";
import { QemuDriver, type QemuDriverOptions } from "./qemu/driver.ts";

export interface OpenDriver {
  guest: { kernel: string; initramfs: string; monitorTools: Record<string, string> };
  stateDirectory: string;
  spareDirectory?: string;
  cgroupName?: string;
  /** `auto`: what the probes prove. */
  accelerator: Accelerator | "auto";
}

export function openDriver({ guest, accelerator, ...rest }: OpenDriver): VmDriver {
  const { kernel, initramfs, monitorTools } = guest;
  return new QemuDriver({
    ...rest,
    probe: { kernel, initramfs },
    // Paths by name, as images/prepare.ts made them.
    tools: monitorTools as unknown as NonNullable<QemuDriverOptions["tools"]>,
    ...(accelerator === "auto" ? {} : { accelerator }),
  });
}
