/** The machine a task runs in: image, workspace path, resources, network (sdk §2.3). Each method changes the builder and returns it. */
import { brand, brandData } from "../brand.ts";
import { DefinitionError } from "../errors.ts";
import { type ImageBuilder, type ImageData, imageData } from "./image.ts";
import { workspacePath } from "./guest-path.ts";

interface SandboxResources {
  /** Whole cores. */
  readonly cpu?: number | string;
  /** `512Mi`, `4Gi`, or a whole number of MiB. */
  readonly memory?: number | string;
  readonly disk?: number | string;
}

export interface SandboxNetwork {
  /** false: nothing; true: everything the operator allows; an object: with lists (http §9.5). */
  readonly internet?: boolean | { readonly allow?: readonly string[]; readonly deny?: readonly string[] };
}

export interface SandboxBuilder {
  readonly id: string;
  /** Without it the built-in image `helmr/node:24` is used. */
  image(image: ImageBuilder): SandboxBuilder;
  workspace(mountPath?: string): SandboxBuilder;
  resources(resources: SandboxResources): SandboxBuilder;
  network(network: SandboxNetwork): SandboxBuilder;
}

/** What the builder has collected. Readable by other copies of the SDK through the brand. */
export interface SandboxData {
  readonly id: string;
  image?: ImageData;
  workspacePath: string;
  resources: SandboxResources;
  network: { internet: boolean; allow?: readonly string[]; deny?: readonly string[] };
}

export function sandbox(id: string): SandboxBuilder {
  if (typeof id !== "string" || id.trim() === "") throw new DefinitionError("sandbox(id) needs an id that is not blank");
  const data: SandboxData = { id, workspacePath: "/workspace", resources: {}, network: { internet: true } };
  const methods: SandboxBuilder = {
    id,
    image(image) {
      const found = imageData(image);
      if (!found) throw new DefinitionError(`image of sandbox "${id}" must be the result of image(id)`);
      data.image = found;
      return methods;
    },
    workspace(mountPath = "/workspace") {
      data.workspacePath = workspacePath(mountPath, `workspace of sandbox "${id}"`);
      return methods;
    },
    resources(resources) {
      data.resources = { ...resources };
      return methods;
    },
    network(network) {
      data.network = networkRules(id, network);
      return methods;
    },
  };
  return Object.freeze(brand("SandboxBuilder", methods, data));
}

/** The definition behind a builder of any copy of the SDK. */
export function sandboxData(value: unknown): SandboxData | undefined {
  return brandData("SandboxBuilder", value) as SandboxData | undefined;
}

function networkRules(id: string, { internet = true }: SandboxNetwork): SandboxData["network"] {
  if (typeof internet === "boolean") return { internet };
  if (typeof internet !== "object" || internet === null) {
    throw new DefinitionError(`network of sandbox "${id}" needs internet to be true, false or { allow, deny }`);
  }
  const allow = entries(id, "allow", internet.allow);
  const deny = entries(id, "deny", internet.deny);
  return { internet: true, ...(allow.length === 0 ? {} : { allow }), ...(deny.length === 0 ? {} : { deny }) };
}

function entries(id: string, list: string, values: readonly string[] = []): string[] {
  if (!Array.isArray(values)) throw new DefinitionError(`network ${list} of sandbox "${id}" must be a list of texts`);
  return values.map((entry: unknown) => {
    const text = typeof entry === "string" ? entry.trim() : "";
    if (text === "") throw new DefinitionError(`network ${list} of sandbox "${id}" has an empty entry`);
    return text;
  });
}
