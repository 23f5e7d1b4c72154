/**
 * A worker process for tests of its death: starts a machine, asks it something, prints the handle as one line and waits to be killed.
 * Arguments: JSON of the QEMU driver's options, JSON of the machine's specification.
 */
import type { MachineSpec } from "./driver.ts";
import { FixtureGuest } from "./fixture-guest.fixture.ts";
import { QemuDriver, type QemuDriverOptions } from "./qemu/driver.ts";

const [options = "", spec = ""] = process.argv.slice(2);
const driver = new QemuDriver(JSON.parse(options) as QemuDriverOptions);
const machine = await driver.start(JSON.parse(spec) as MachineSpec, new AbortController().signal);
await new FixtureGuest(machine).ping();
process.stdout.write(`${JSON.stringify(machine.handle)}\n`);
setInterval(() => {}, 60_000);
