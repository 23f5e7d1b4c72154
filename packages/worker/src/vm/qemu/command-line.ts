/**
 * The command line of a monitor, from data. Template and clone must describe the same machine, device by device, or a snapshot does not load;
 * so both come from here and differ only in: memory sharing, kernel and command line, and that a clone waits for a snapshot.
 *
 * Files are passed as descriptors (3, 4, …): the monitor runs as a user who may not reach them by name, and names need no quoting. Disks go
 * through /dev/fdset, which the monitor duplicates with the access mode that they were opened with; kernel and memory are opened again
 * through /proc/self/fd, which needs permission on the file itself.
 *
 * Every device has its bus named. The guest finds the buses from the last to the first, so the channels are on the highest (virtio0, which
 * names their ports) and the disks below it in the order of `diskSlots`. Bus 0 is not used: its interrupt never arrives under emulation.
 */
import { type Accelerator, type DiskSlot, diskSlots, type MachineShape } from "../driver.ts";

/** The size that a guest believes an unused slot has. Writable disks are told their real size when they come. */
export const placeholderBytes = 16 * 1024 ** 4;
/** The only slot of a machine that is read-only for its guest; a device cannot change that while it exists. */
export const readOnlySlot: DiskSlot = "task";

const channelBus = diskSlots.length + 1;

export const socketNames = {
  monitor: "monitor.sock",
  control: "control.sock",
  network: "network.sock",
  files: "files.sock",
  migration: "migration.sock",
} as const;

export interface MonitorSetup {
  accelerator: Accelerator;
  shape: MachineShape;
  memory: { descriptor: number; share: boolean };
  /** Of a clone: the beginning of the kernel file, because the devices that come with a kernel belong to the machine. */
  kernel: { descriptor: number; initramfs?: number; commandLine?: string };
  /** Descriptors of the disks that belong to the template. */
  substrate: number;
  image: number;
  /** A clone waits for a snapshot and can be given files later. */
  clone: boolean;
}

const mib = 1024 * 1024;

export function monitorArguments(setup: MonitorSetup): string[] {
  const { accelerator, shape, memory, kernel, clone } = setup;
  const machine = ["microvm", "acpi=on", "pit=off", "pic=off", "rtc=on", "isa-serial=on", "auto-kernel-cmdline=off", "memory-backend=ram0"];
  const args = ["-name", "helmr", "-M", machine.join(","), ...acceleratorArguments(accelerator)];
  args.push("-m", `${shape.memoryMib}M`, "-smp", String(shape.vcpus), "-nodefaults", "-no-user-config", "-display", "none");
  const backend = {
    "qom-type": "memory-backend-file",
    id: "ram0",
    size: shape.memoryMib * mib,
    "mem-path": descriptorPath(memory.descriptor),
    share: memory.share,
  };
  args.push("-object", JSON.stringify(backend));
  args.push("-kernel", descriptorPath(kernel.descriptor));
  if (kernel.initramfs !== undefined) args.push("-initrd", descriptorPath(kernel.initramfs));
  if (kernel.commandLine !== undefined) args.push("-append", kernel.commandLine);
  // A guest that ends leaves a monitor that can be asked why; the driver ends it then.
  args.push("-action", "reboot=shutdown,shutdown=pause");
  args.push("-chardev", `ringbuf,id=console,size=65536`, "-serial", "chardev:console");
  args.push("-chardev", `socket,id=monitor,path=${socketNames.monitor},reconnect=1`, "-mon", "chardev=monitor,mode=control");
  args.push(...channelArguments(), ...diskArguments(setup));
  if (clone)
    args.push(
      "-chardev",
      `socket,id=files,path=${socketNames.files},reconnect=1`,
      "-mon",
      "chardev=files,mode=control",
      "-incoming",
      "defer",
    );
  args.push("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
  return args;
}

/** How the monitor opens an inherited descriptor of its own accord. */
export function descriptorPath(descriptor: number): string {
  return `/proc/self/fd/${descriptor}`;
}

function acceleratorArguments(accelerator: Accelerator): string[] {
  // The buffer of translated code grows as needed up to this; 256 MiB measured no slower than the default of 1 GiB.
  if (accelerator === "tcg") return ["-accel", "tcg,thread=multi,tb-size=256", "-cpu", "max"];
  // The split interrupt controller leaves room for the second I/O APIC that this many devices need.
  return ["-accel", accelerator === "kvm" ? "kvm,kernel-irqchip=split" : accelerator, "-cpu", "host"];
}

function channelArguments(): string[] {
  return [
    ["-chardev", `socket,id=control,path=${socketNames.control},reconnect=1`],
    ["-chardev", `socket,id=network,path=${socketNames.network},reconnect=1`],
    ["-device", `virtio-serial-device,id=ports,max_ports=4,bus=virtio-mmio-bus.${channelBus}`],
    ["-device", "virtserialport,bus=ports.0,nr=1,chardev=control,name=helmr.control"],
    ["-device", "virtserialport,bus=ports.0,nr=2,chardev=network,name=helmr.network"],
  ].flat();
}

function diskArguments({ substrate, image }: MonitorSetup): string[] {
  const own: Partial<Record<DiskSlot, number>> = { substrate, image };
  return diskSlots.flatMap((slot, index) => {
    const descriptor = own[slot];
    const added = descriptor === undefined ? [] : ["-add-fd", `fd=${descriptor},set=${descriptor}`];
    const node =
      descriptor === undefined
        ? slotNode(slot, placeholderNode(slot))
        : { driver: "raw", "node-name": slot, "read-only": true, file: fileNode(descriptor, true) };
    const device = `virtio-blk-device,id=${slot}-device,drive=${slot},bus=virtio-mmio-bus.${channelBus - 1 - index}`;
    return [...added, "-blockdev", JSON.stringify(node), "-device", device];
  });
}

type BlockNode = Record<string, unknown>;

/**
 * What the device of a machine's slot holds on to: a layer that does nothing, over a placeholder first and over a disk later
 * (`blockdev-reopen` exchanges the file below it).
 */
export function slotNode(slot: DiskSlot, file: BlockNode | string): BlockNode {
  return { driver: "raw", "node-name": slot, "read-only": slot === readOnlySlot, discard: "unmap", cache: pageCache, file };
}

function placeholderNode(slot: DiskSlot): BlockNode {
  return {
    driver: "null-co",
    "node-name": `${slot}-placeholder`,
    size: placeholderBytes,
    "read-zeroes": true,
    "read-only": slot === readOnlySlot,
  };
}

export interface DiskFiles {
  /** Sets of descriptors that the monitor has been given. */
  set: number;
  /** Of the raw file under an overlay. */
  backingSet?: number;
  readOnly: boolean;
}

/** Of the disk behind a slot. */
export const diskNodeName = (slot: DiskSlot): string => `${slot}-disk`;

/** A node for `blockdev-add`. */
export function diskNode(name: string, { set, backingSet, readOnly }: DiskFiles): BlockNode {
  if (backingSet === undefined) return { ...fileNode(set, readOnly), "node-name": name };
  const backing = { driver: "raw", "read-only": true, file: fileNode(backingSet, true) };
  return {
    driver: "qcow2",
    "node-name": name,
    "read-only": readOnly,
    discard: "unmap",
    cache: pageCache,
    file: fileNode(set, readOnly),
    backing,
  };
}

/** An overlay of which only what is in it counts. */
export function overlayAlone(name: string, set: number): BlockNode {
  return { driver: "qcow2", "node-name": name, cache: pageCache, file: fileNode(set, false), backing: null };
}

/**
 * `no-flush`: what the device has acknowledged is in the host's page cache, which only the loss of the host takes away, and then the lease is
 * lost too. A version is made durable when it is stored, not while a guest writes.
 */
const pageCache = { direct: false, "no-flush": true };

/** Locks are the caller's business: one machine owns its directory, and read-only files are shared by many. */
function fileNode(set: number, readOnly: boolean): BlockNode {
  return { driver: "file", filename: `/dev/fdset/${set}`, "read-only": readOnly, locking: "off", discard: "unmap", cache: pageCache };
}

/**
 * What the guest's kernel is told. Under emulation there is no clock to calibrate with (pit=off, because calibration against the emulated PIT
 * hangs now and then on a busy host), so it is given the rate of the time stamp counter.
 */
export function kernelCommandLine(accelerator: Accelerator, tscKhz: number): string {
  const common = ["console=ttyS0", "quiet", "loglevel=3", "reboot=t", "panic=-1", "cryptomgr.notests", "8250.nr_uarts=1"];
  if (accelerator !== "tcg") return common.join(" ");
  const ticksPerSecond = 250;
  const loopsPerTick = Math.round((tscKhz * 1000) / ticksPerSecond);
  // Translated code is found again by its address: with randomized addresses every process start is translated anew (measured: a shell loop of
  // ten programs 460 ms against 150 ms, `node -e 0` 300 against 220, and the buffer fills until it is thrown away).
  return [...common, "tsc=reliable", `tsc_early_khz=${tscKhz}`, `lpj=${loopsPerTick}`, "no_timer_check", "norandmaps"].join(" ");
}
