/**
 * Taking over a machine of an earlier worker process. The monitor has noticed that nobody listens and tries to connect every second; the new
 * worker listens under the same names and is then where the old one was. The guest announces itself again on both channels, and what it was
 * saying when the old worker died is dropped up to that point.
 */
import { channelPreamble } from "@helmr/protocol/guest";
import { type Machine, type MachineHandle, VmError } from "../driver.ts";
import { join } from "node:path";
import { rm } from "node:fs/promises";
import { skipUntil } from "../skip-until.ts";
import { vmLimits } from "../limits.ts";
import { within } from "../limited-time.ts";
import { Undo } from "../undo.ts";
import { asVmError, type CloneContext, ownMemoryName } from "./clone.ts";
import type { HandleDetails } from "./start-machine.ts";
import { FilePasser } from "./file-passer.ts";
import { connectAll, listenAll, monitorLogName } from "./launch.ts";
import { QemuMachine } from "./machine.ts";
import { MachineDirectory } from "./machine-directory.ts";
import { findMonitor } from "./monitor-process.ts";
import { Qmp } from "./qmp.ts";

export async function adoptMachine(context: CloneContext, handle: MachineHandle): Promise<Machine | "gone"> {
  const { isolation, cgroups } = context.host;
  const { user, snapshotable, group, compatibility } = handle.details as unknown as HandleDetails;
  const monitor = await findMonitor({ pid: handle.pid, startTime: handle.pidStartTime }, join(handle.directory, monitorLogName));
  if (!monitor) {
    await cgroups.remove(group);
    return "gone";
  }
  const undo = new Undo();
  if (user) {
    isolation.claimUser(user);
    undo.add(() => isolation.releaseUser(user));
  }
  undo.add(() => rm(handle.directory, { recursive: true, force: true }));
  try {
    return await within(
      { ms: vmLimits.adoptMs, code: "monitor_unresponsive", what: `Taking over machine ${handle.id}` },
      async (signal) => {
        const directory = await MachineDirectory.open(handle.directory, user);
        undo.add(() => directory.close());
        const sockets = await listenAll(directory, undo);
        undo.add(async () => {
          await monitor.kill();
          await cgroups.remove(group);
        });
        const connections = await connectAll(sockets, monitor, signal);
        const qmp = await Qmp.open(connections.monitor);
        undo.add(() => qmp.close());
        const machine = new QemuMachine({
          id: handle.id,
          compatibility,
          handle,
          control: skipUntil(connections.control, { marker: channelPreamble, keepMarker: false }),
          network: connections.network,
          process: monitor,
          qmp,
          directory,
          files: new FilePasser(context.host.passDescriptors, sockets.files),
          memory: snapshotable ? join(handle.directory, ownMemoryName) : undefined,
          undo,
        });
        await machine.noticeEnd();
        return machine;
      },
    );
  } catch (error) {
    // Nothing can be known about a machine whose monitor does not answer.
    await monitor.kill();
    await undo.run();
    if (error instanceof VmError && error.code === "monitor_died") return "gone";
    throw asVmError(error, "monitor_unresponsive", `Machine ${handle.id} could not be taken over`);
  }
}
