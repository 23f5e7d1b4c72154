/**
 * What `attach` made of this machine: image, user, directories. Exists from the first `attach` to the end of the machine; before it there
 * is nothing of a tenant here.
 */
import { readFileSync, readlinkSync, statfsSync } from "node:fs";
import type { AttachRequest, Usage } from "@helmr/protocol/guest";
import type { AccountFiles } from "./accounts.ts";
import { type ConfinedTree, openTree, PathError } from "./confined-tree.ts";
import type { ControlGroups } from "./control-group.ts";
import { processEnvironment } from "./environment.ts";
import { addCertificates, lendCertificates } from "./trust-store.ts";

/** Where things are in the guest (init/helmr-guest.h); tests have other places. */
export interface GuestPlaces {
  /** The task's root as the supervisor sees it. */
  root: string;
  scratch: string;
  devices: { scratch: string; workspace: string; task: string; caches: readonly string[] };
  /** As the task sees them. */
  taskTree: string;
  programFile: string;
  builderFile: string;
  compiler: string;
  /** The SDK as a package (as the supervisor sees it) and as modules (as the tenant does). */
  sdk: { package: string; modules: string };
}

export const guestPlaces: GuestPlaces = {
  root: "/task",
  scratch: "/scratch",
  devices: { scratch: "/dev/vdc", workspace: "/dev/vdd", task: "/dev/vde", caches: ["/dev/vdf", "/dev/vdg", "/dev/vdh", "/dev/vdi"] },
  taskTree: "/opt/helmr-task",
  programFile: "/opt/helmr/lib/program.mjs",
  builderFile: "/opt/helmr/lib/builder.mjs",
  compiler: "/opt/helmr/bin/esbuild",
  sdk: { package: "/opt/helmr/lib/sdk", modules: "/opt/helmr/lib/sdk-modules" },
};

export const sourceDirectory = ".helmr/deployment-source";

export class Attachment {
  readonly places: GuestPlaces;
  readonly user: string;
  /** As the task sees it; undefined when no disk is mounted there. */
  readonly workspacePath: string | undefined;
  private readonly request: AttachRequest;
  private rootTree: ConfinedTree | undefined;
  private workspaceTree: ConfinedTree | undefined;
  private certificateEnvironment: Record<string, string> = {};

  constructor(request: AttachRequest, places: GuestPlaces) {
    this.request = request;
    this.places = places;
    this.user = request.image.user === "" ? "root" : request.image.user;
    this.workspacePath = request.disks?.workspace?.path;
  }

  /** Adds the operator's certificates to what processes of the tenant trust from here on. */
  trustCertificates(pem: string): void {
    this.certificateEnvironment = this.isImageStep ? lendCertificates(this.root, pem) : addCertificates(this.root, pem);
  }

  environment(own: Record<string, string>): Record<string, string> {
    return processEnvironment({
      defaults: { ...this.certificateEnvironment, ...this.request.environment },
      image: this.request.image.env,
      own,
    });
  }

  /** The disk of slot workspace is the root: nothing of this machine may stay on it. */
  get isImageStep(): boolean {
    return this.workspacePath === "/";
  }

  /** Of the image. */
  get imageDirectory(): string {
    return this.request.image.workdir === "" ? "/" : this.request.image.workdir;
  }

  /** Mount points of a step's caches as the supervisor sees them, links of the image resolved inside it. */
  get cacheDirectories(): string[] {
    return (this.request.disks?.caches ?? []).map((path) => {
      const place = this.root.locate(`${path}/x`);
      try {
        return readlinkSync(`/proc/self/fd/${place.directoryFd}`);
      } finally {
        place.close();
      }
    });
  }

  /** Default directory of a process. */
  get workingDirectory(): string {
    return this.workspacePath ?? this.imageDirectory;
  }

  get root(): ConfinedTree {
    this.rootTree ??= openTree(this.places.root, "/");
    return this.rootTree;
  }

  get workspace(): ConfinedTree | undefined {
    if (this.workspacePath === undefined) return undefined;
    this.workspaceTree ??= openTree(this.places.root + this.workspacePath, this.workspacePath);
    return this.workspaceTree;
  }

  /** Mount points as the supervisor sees them: what is frozen and synced. */
  get fileSystems(): string[] {
    if (this.isImageStep) return [this.places.root];
    return this.workspacePath === undefined ? [this.places.scratch] : [this.places.root + this.workspacePath, this.places.scratch];
  }

  accounts(): AccountFiles {
    return { passwd: this.readFile("/etc/passwd"), group: this.readFile("/etc/group") };
  }

  usage(groups: ControlGroups): Usage {
    const total = groups.total();
    const memory = total.memory();
    const usage: Usage = {
      memoryBytes: memory.currentBytes,
      memoryPeakBytes: memory.peakBytes,
      cpuUs: total.cpuUs(),
    };
    const scratch = this.isImageStep ? undefined : space(this.places.scratch);
    if (scratch) Object.assign(usage, { scratchUsedBytes: scratch.used, scratchSizeBytes: scratch.size });
    const workspace = this.workspacePath === undefined ? undefined : space(this.places.root + this.workspacePath);
    if (workspace) Object.assign(usage, { workspaceUsedBytes: workspace.used, workspaceSizeBytes: workspace.size });
    return usage;
  }

  /** A disk of the tenant has no room left. */
  get diskFull(): boolean {
    return this.fileSystems.some((path) => space(path)?.full ?? false);
  }

  private readFile(path: string): string {
    try {
      const place = this.root.locate(path, { followLast: true });
      try {
        return readFileSync(place.path, "utf8");
      } finally {
        place.close();
      }
    } catch (error) {
      if (error instanceof PathError || (error as NodeJS.ErrnoException).code === "ENOENT") return "";
      throw error;
    }
  }
}

/** Less than this is full: writing anything of substance fails. */
const fullBelowBytes = 64 * 1024;

function space(path: string): { size: number; used: number; full: boolean } | undefined {
  try {
    const status = statfsSync(path);
    const size = status.blocks * status.bsize;
    const noInodes = status.files > 0 && status.ffree === 0;
    return { size, used: size - status.bfree * status.bsize, full: status.bavail * status.bsize < fullBelowBytes || noInodes };
  } catch {
    // A damaged disk answers nothing; the numbers are for show, and for naming a failure that has happened already.
    return undefined;
  }
}
