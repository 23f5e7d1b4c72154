/** The C tool of the guest (packages/guest/src/init) in a real guest: every subcommand that a tenant's life depends on. */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Machine, MachineDisk } from "./driver.ts";
import { type FixtureGuest, guestPath } from "./fixture-guest.fixture.ts";
import { testGuests, type TestGuests } from "./shared-template.fixture.ts";

const run = promisify(execFile);

let guests: TestGuests;
let guest: FixtureGuest;
let machine: Machine;

beforeAll(async () => {
  guests = await testGuests();
  ({ machine, guest } = await startWithDisks());
  await guest.attach("--scratch", "/dev/vdc", "--workspace", "/dev/vdd:/work/space", "--workspace-owner", "nobody", "--task", "/dev/vde");
});

afterAll(async () => {
  await guests?.close();
});

async function startWithDisks() {
  const disk = (name: string): Promise<MachineDisk> => guests.emptyDisk(guests.directory, name, 256);
  const [scratch, workspace, task] = [await disk("scratch"), await disk("workspace"), await disk("task")];
  return guests.start({ disks: { scratch, workspace, task: { ...task, readOnly: true } } });
}

describe("attach", () => {
  test("the root is the image with a writable layer, the workspace belongs to its user, the task's tree is read-only", async () => {
    const { stdout } = await guest.shell(
      "stat -c %U /work/space; touch /usr/new && echo writable; touch /opt/helmr-task/x; touch /opt/helmr/x; ls /opt/helmr/bin",
      {},
    );
    expect(stdout).toBe("nobody\nwritable\nesbuild\nhelmr-guest\nnode\n");
  });

  test("only harmless devices, own processes, own control groups", async () => {
    const { stdout } = await guest.shell(
      "ls /dev | tr '\\n' ' '; echo; ls /proc | grep -c '^[0-9]'; cat /proc/1/comm /proc/self/cgroup; ls -d /sys/fs/cgroup/run",
    );
    expect(stdout).toMatch(
      /^fd full null ptmx pts random shm stderr stdin stdout tty urandom zero \n[0-9]\ninit\n0::\/run\n\/sys\/fs\/cgroup\/run\n$/,
    );
  });

  test("names are looked up at the relay, the host's name is known", async () => {
    const { stdout } = await guest.shell("cat /etc/resolv.conf; getent ahostsv4 fixture");
    expect(stdout).toContain("nameserver 127.0.0.53\n");
    expect(stdout).toMatch(/127\.0\.1\.1 +STREAM fixture/);
  });

  test("wrong arguments are refused without doing anything", async () => {
    const refusals = [
      ["attach"],
      ["attach", "--clock", "soon", "--scratch", "tmpfs"],
      ["attach", "--resumed", "--scratch", "tmpfs"],
      ["attach", "--scratch"],
      ["attach", "--what", "1"],
    ];
    for (const args of refusals) expect((await guest.tool(args)).code).toBe(2);
    expect((await guest.tool(["attach", "--resumed", "--entropy"], { stdin: "short" })).stderr).toContain("needs at least 64 bytes");
  });

  test("a second attach fails and says why", async () => {
    const result = await guest.tool(["attach", "--scratch", "/dev/vdc"]);
    expect(result.code).toBe(1);
    expect(result.stderr).toMatch(/^helmr-guest attach: mount \/dev\/vdc at \/scratch: /);
  });

  test("a link of the image does not lead a mount out of the task's root", async () => {
    const { guest: other } = await guests.start();
    await other.attach("--scratch", "tmpfs");
    // /var/run is a link to /run in the image; an absolute one would leave the root if it were followed from outside.
    await other.shell("ln -s /run /absolute && mkdir -p /run/inner");
    expect((await other.shell("readlink -f /absolute/inner")).stdout).toBe("/run/inner\n");
  });
});

describe("run", () => {
  test("ends the way its process ends", async () => {
    expect(await guest.shell("exit 7")).toMatchObject({ code: 7, signal: null });
    expect(await guest.shell("kill -TERM $$")).toMatchObject({ code: null, signal: "SIGTERM" });
    expect(await guest.shell("kill -KILL $$")).toMatchObject({ code: null, signal: "SIGKILL" });
    expect((await guest.run(["true"])).control).toMatch(/^started \d+\n$/);
  });

  test("standard streams are real pipes and nothing is lost at the end", async () => {
    const script = "cat > /dev/stdout; echo err > /dev/stderr; head -c 500000 /dev/zero | tr '\\0' x";
    const result = await guest.shell(script, { stdin: "input" });
    expect(result.stdout.length).toBe(5 + 500_000);
    expect(result.stdout.startsWith("inputx")).toBe(true);
    expect(result.stderr).toBe("err\n");
  });

  test("the environment is taken over, identity comes from the image", async () => {
    const args = ["--user", "nobody", "--cwd", "/tmp"];
    const { stdout } = await guest.shell("id -un; echo $HOME $USER $LOGNAME $PWD $MINE; pwd", { args, env: { MINE: "yes" } });
    expect(stdout).toBe("nobody\n/nonexistent nobody nobody /tmp yes\n/tmp\n");
    expect((await guest.shell("id", { args: ["--user", "1234:mail"] })).stdout).toMatch(/^uid=1234 gid=8\(mail\) groups=8\(mail\)/);
    expect((await guest.shell("id -G", { args: ["--user", "root"] })).stdout).toBe("0\n");
  });

  test("what cannot start says at which stage", async () => {
    const notFound = await guest.run(["no-such-program"]);
    expect(notFound).toMatchObject({ code: 125 });
    expect(notFound.control).toBe(`failed exec 2 no-such-program was not found on PATH ${guestPath}\n`);
    expect((await guest.run(["true"], { args: ["--cwd", "/no/where"] })).control).toBe(
      "failed cwd 2 /no/where: No such file or directory\n",
    );
    expect((await guest.run(["true"], { args: ["--user", "stranger"] })).control).toBe('failed user 2 the image has no user "stranger"\n');
    expect((await guest.run(["true"], { args: ["--user", "root:strangers"] })).control).toBe(
      'failed user 2 the image has no group "strangers"\n',
    );
    expect((await guest.run(["/etc/hostname"])).control).toBe("failed exec 13 /etc/hostname: Permission denied\n");
  });

  test("signals of the control line reach the whole group", async () => {
    const script = "trap 'echo caught; exit 3' USR1; sleep 60 & wait; echo not reached";
    const result = await guest.shell(script, { lines: ["signal 10"] });
    // The shell may not have set its trap yet; then it dies of the signal.
    expect([result.stdout, result.signal]).toSatisfy(([out, signal]) => out === "caught\n" || signal === "SIGUSR1");
    expect(await guest.run(["sleep", "60"], { lines: ["signal 15"] })).toMatchObject({ signal: "SIGTERM" });
  });

  test("a terminal has a size, echoes, can be resized and makes its process a session leader", async () => {
    const script = "stty size; tty; ps -o pid=,sid=,tty= -p $$; read line; stty size; echo got $line";
    const result = await guest.shell(script, { args: ["--terminal", "80x24"], lines: ["resize 100 40"], stdin: "hello\n" });
    const lines = result.stdout.split("\r\n");
    expect(result.code).toBe(0);
    expect(lines).toContain("/dev/pts/0");
    expect(lines).toContain("40 100");
    expect(lines).toContain("hello");
    expect(lines).toContain("got hello");
    const [pid, sid, tty] = (lines.find((line) => line.includes("pts/0") && !line.startsWith("/")) ?? "").trim().split(/\s+/);
    expect([pid, tty]).toEqual([sid, "pts/0"]);
  });

  test("without network there is only loopback, and nothing answers on it", async () => {
    const { stdout } = await guest.shell("ls /sys/class/net 2>/dev/null; cat /proc/net/dev | tail -n +3 | cut -d: -f1", {
      args: ["--network", "off"],
    });
    expect(stdout.trim().split(/\s+/).at(-1)).toBe("lo");
    expect(
      (
        await guest.run(["node", "-e", "net.connect(53, '127.0.0.53').on('error', e => console.log(e.code))"], {
          args: ["--network", "off"],
        })
      ).stdout,
    ).toBe("ECONNREFUSED\n");
  });

  test("tenants may do what root does, but not to the machine's clock, kernel or devices", async () => {
    const { stdout, stderr } = await guest.shell(
      "mount -t tmpfs none /mnt && echo mounted; unshare -Ur true && echo unshared; date -s 2000-01-01 >/dev/null; mknod /tmp/disk b 254 0; true",
    );
    expect(stdout).toBe("mounted\nunshared\n");
    expect(stderr).toContain("cannot set date");
    expect(stderr).toContain("mknod: /tmp/disk: Operation not permitted");
  });

  test("a tenant that kills everything it can does not reach the supervisor", async () => {
    const { guest: other } = await guests.start();
    await other.attach("--scratch", "tmpfs");
    await other.shell("kill -9 -1");
    await other.shell("pkill -9 node; pkill -9 helmr; true");
    expect((await other.ping()).counter).toBe(1);
    expect((await other.shell("echo still here")).stdout).toBe("still here\n");
  });

  test("memory beyond the task's share kills the task's process, nothing else", async () => {
    const result = await guest.run(["node", "-e", "const all=[]; for(;;) all.push(Buffer.alloc(16<<20, 1))"], { timeoutMs: 60_000 });
    expect(result.signal).toBe("SIGKILL");
    expect((await guest.tool(["sync", "/task"])).code).toBe(0);
  });

  test("orphans are reaped by the task's init", async () => {
    await guest.shell("for i in 1 2 3 4 5; do (sleep 0.1 &) ; done");
    const { stdout } = await guest.shell("sleep 0.4; ps -eo stat= | grep -c '^Z' ; true");
    expect(stdout).toBe("0\n");
  });
});

describe("place", () => {
  const place = (path: string, options: readonly string[] = [], value = "s3cret") =>
    guest.tool(["place", "--path", path, ...options], { stdin: value });

  test("content appears with mode and owner, also over an existing file, and goes away again", async () => {
    await guest.shell("echo original > /etc/existing; mkdir -p /work/space/app");
    expect((await place("/work/space/app/.env", ["--mode", "0640", "--owner", "nobody"])).code).toBe(0);
    expect((await place("/etc/existing")).code).toBe(0);
    expect((await place("/run/made/here/token", ["--directory-mode", "0700", "--owner", "nobody"])).code).toBe(0);
    const shown = await guest.shell(
      "cat /work/space/app/.env /etc/existing; stat -c '%a %U' /work/space/app/.env /run/made/here /run/made/here/token",
    );
    expect(shown.stdout).toBe("s3crets3cret640 nobody\n700 nobody\n600 nobody\n");
    for (const path of ["/work/space/app/.env", "/etc/existing", "/run/made/here/token"])
      expect((await guest.tool(["unplace", "--path", path])).code).toBe(0);
    expect((await guest.shell("cat /etc/existing; ls -A /work/space/app /run/made/here")).stdout).toBe(
      "original\n/run/made/here:\n\n/work/space/app:\n",
    );
  });

  test("nothing of it reaches a disk", async () => {
    await guest.shell("mkdir -p /srv");
    await place("/srv/secret", [], "needle-in-a-haystack");
    await guest.tool(["sync", "/scratch"]);
    const found = await run("grep", ["-c", "needle-in-a-haystack", join(guests.directory, "scratch.raw")]).catch(
      (error: { stdout: string }) => error,
    );
    expect(found.stdout.trim()).toBe("0");
  });

  test("wrong arguments", async () => {
    expect((await place("relative")).code).toBe(2);
    expect((await place("/x", ["--mode", "999"])).code).toBe(2);
    expect((await place("/x", ["--owner", "stranger"])).stderr).toContain('the image has no user "stranger"');
    expect((await place("/proc/nothing")).code).toBe(1);
  });
});

describe("freeze", () => {
  const paths = ["/scratch", "/task/work/space"];
  const cgroup = ["--cgroup", "/sys/fs/cgroup/task"];

  test("processes and file systems stand still until they are thawed; both can be repeated", async () => {
    await guest.shell("(while true; do echo tick >> /work/space/clock; sleep 0.02; done) >/dev/null 2>&1 &");
    expect((await guest.tool(["freeze", ...cgroup, ...paths])).code).toBe(0);
    expect((await guest.tool(["freeze", ...cgroup, ...paths])).code).toBe(0);
    // A file system that is frozen is clean on its disk: its journal is empty and the host can read it.
    await machine.pause();
    const { stdout } = await run("dumpe2fs", ["-h", join(guests.directory, "workspace.raw")]);
    expect(stdout).not.toContain("needs_recovery");
    await machine.resume();
    expect((await guest.tool(["thaw", ...cgroup, ...paths])).code).toBe(0);
    expect((await guest.tool(["thaw", ...cgroup, ...paths])).code).toBe(0);
    expect(
      (
        await guest.shell(
          "a=$(wc -c < /work/space/clock); sleep 0.3; test $a -lt $(wc -c < /work/space/clock) && echo moving; pkill -f 'while true'; true",
        )
      ).stdout,
    ).toContain("moving");
  });

  test("a path that is no file system of its own is refused and nothing stays frozen", async () => {
    const result = await guest.tool(["freeze", ...cgroup, "/scratch", "/no/where"]);
    expect(result.code).toBe(1);
    expect(result.stderr).toContain("freeze /no/where: No such file or directory");
    expect((await guest.shell("echo goes on > /file && cat /file")).stdout).toBe("goes on\n");
  });

  test("a file system is held still until somebody says something", async () => {
    const held = await guest.tool(["hold", "20000", "/task/work/space"], { stdin: Buffer.from("go on") });
    expect(held).toMatchObject({ code: 0, stdout: expect.stringMatching(/^still\nheld \d+\n$/) });
    expect((await guest.shell("echo x > /work/space/goes-on && cat /work/space/goes-on")).stdout).toBe("x\n");
    expect((await guest.tool(["hold", "1000", "/no/where"])).code).toBe(1);
  });

  test("trim gives back what was deleted", async () => {
    const path = join(guests.directory, "workspace.raw");
    const allocated = async (): Promise<number> => Number((await run("stat", ["-c", "%b", path])).stdout) * 512;
    await guest.shell("head -c 50000000 /dev/urandom > /work/space/big; sync");
    const full = await allocated();
    await guest.shell("rm /work/space/big; sync");
    expect((await guest.tool(["trim", "/task/work/space"])).code).toBe(0);
    expect(full - (await allocated())).toBeGreaterThan(45_000_000);
  });
});

describe("clock and entropy", () => {
  test("the wall clock is what the host said, counted from when it said it", async () => {
    const before = BigInt((await guest.ping()).monotonicNs);
    const unixUs = Date.UTC(2031, 0, 1) * 1000;
    expect((await guest.tool(["attach", "--resumed", "--clock", `${unixUs}@${before}`])).code).toBe(0);
    const after = await guest.ping();
    const expected = unixUs + Number((BigInt(after.monotonicNs) - before) / 1000n);
    expect(Math.abs(after.unixUs - expected)).toBeLessThan(20_000);
  });

  test("a resumed machine can be thawed, reseeded and named in one call", async () => {
    expect((await guest.tool(["freeze", "--cgroup", "/sys/fs/cgroup/task", "/scratch"])).code).toBe(0);
    const args = ["attach", "--resumed", "--clock", `${Date.now() * 1000}`, "--entropy", "--hostname", "again", "--network", "on"];
    const result = await guest.tool([...args, "--thaw", "/scratch", "--thaw-cgroup", "/sys/fs/cgroup/task"], {
      stdin: Buffer.alloc(64, 7),
    });
    expect(result).toMatchObject({ code: 0, stderr: "" });
    expect((await guest.shell("hostname; echo x > /again && cat /again")).stdout).toBe("again\nx\n");
  });
});
