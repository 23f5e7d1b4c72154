/** What a Debian 12 machine must have before guests can be prepared and run. `./helmr up` installs what is missing and says why. */
export interface HostPackage {
  name: string;
  /** A file whose presence means that the package is there; also right where it came another way. */
  provides: string;
  reason: string;
}

export const hostPackages: readonly HostPackage[] = [
  {
    name: "qemu-system-x86",
    provides: "/usr/bin/qemu-system-x86_64",
    reason: "runs the guests (with KVM where it works, in software elsewhere)",
  },
  { name: "mmdebstrap", provides: "/usr/bin/mmdebstrap", reason: "makes the Debian userland of the built-in base image" },
  { name: "gcc", provides: "/usr/bin/gcc", reason: "compiles the guest's static tool and three small tools for the monitor" },
  { name: "libc6-dev", provides: "/usr/include/stdio.h", reason: "headers and static C library for the guest's tool" },
  { name: "linux-libc-dev", provides: "/usr/include/linux/bpf.h", reason: "kernel headers for the guest's tool" },
  { name: "binutils", provides: "/usr/bin/strip", reason: "strips Node and kernel modules to what a guest needs" },
  { name: "e2fsprogs", provides: "/usr/sbin/mke2fs", reason: "makes the guests' disks" },
  { name: "dpkg", provides: "/usr/bin/dpkg-deb", reason: "unpacks the kernel package without installing it" },
  { name: "apt", provides: "/usr/bin/apt-get", reason: "downloads the kernel and the userland" },
  { name: "util-linux", provides: "/usr/bin/setpriv", reason: "starts monitors without privileges and in namespaces of their own" },
];
