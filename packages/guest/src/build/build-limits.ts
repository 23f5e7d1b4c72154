/** Bounds of a build, in milliseconds and bytes. The whole of it ends with the `timeoutMs` of its request. */
export const buildLimits = {
  /** From the moment the first module of the project is run. */
  loadMs: 60_000,
  packageJsonBytes: 1_048_576,
  lockBytes: 67_108_864,
  /** Kept of a failed command's output for its message. */
  tailBytes: 8_192,
} as const;
