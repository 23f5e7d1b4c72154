/**
 * Brands (sdk §1.5): several copies of the SDK may live in one process (the project's and the one inside the guest's program), so what one
 * copy makes is recognised by the others through registered symbols, never through `instanceof`.
 *
 * A branded object carries its brand as a non-enumerable member: spreading or printing it shows nothing. The value of the brand is the
 * data behind the object where the object itself is only a builder.
 */
export type BrandName =
  | "Task"
  | "Config"
  | "ImageBuilder"
  | "SandboxBuilder"
  | "SourceFileRef"
  | "SourceDirRef"
  | "QueueDefinition"
  | "ConcurrentWaitError"
  | "WaitTimeoutError"
  | "WaitCancelledError"
  | "PayloadSchemaValidationError"
  | "runRuntime"
  | "DefinitionRegistry"
  | "client.token";

function brandSymbol(name: BrandName): symbol {
  return Symbol.for(`helmr.sdk.${name}`);
}

/** Gives the same object back, branded. Branding twice with the same brand is fine: the later data win. */
export function brand<T extends object>(name: BrandName, target: T, data: unknown = true): T {
  return Object.defineProperty(target, brandSymbol(name), {
    value: data,
    enumerable: false,
    configurable: true,
    writable: false,
  });
}

/** What was branded with; `undefined` when the value has no such brand. */
export function brandData(name: BrandName, value: unknown): unknown {
  if ((typeof value !== "object" && typeof value !== "function") || value === null) return undefined;
  return (value as Record<symbol, unknown>)[brandSymbol(name)];
}

export function hasBrand(name: BrandName, value: unknown): boolean {
  return brandData(name, value) !== undefined;
}

/** A slot on globalThis that all copies share. */
export function sharedSlot<T>(name: BrandName): {
  get(): T | undefined;
  set(value: T | undefined): void;
} {
  const slots = globalThis as unknown as Record<symbol, T | undefined>;
  const symbol = brandSymbol(name);
  return {
    get: () => slots[symbol],
    set: (value) => {
      if (value === undefined) delete slots[symbol];
      else
        Object.defineProperty(slots, symbol, {
          value,
          enumerable: false,
          configurable: true,
          writable: true,
        });
    },
  };
}
