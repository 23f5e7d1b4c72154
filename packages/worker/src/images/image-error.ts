/** What can be wrong with an image: told to whoever deploys, so each has a code, the wrong value and the next step. Anything else is a bug or the host's trouble. */
export type ImageErrorCode =
  | "reference_invalid"
  | "registry_refused" // address that a build may not reach
  | "registry_unauthorized"
  | "registry_unavailable" // network, 5xx, time: another attempt may help
  | "registry_answer_invalid"
  | "image_not_found"
  | "image_platform_missing"
  | "image_unsupported"
  | "image_too_large"
  | "digest_mismatch"
  | "layer_malformed"
  | "layer_path_escapes"
  | "layer_device"
  | "layer_sparse"
  | "layer_xattr"
  | "step_invalid"
  | "step_failed"
  | "step_timeout"
  | "step_out_of_memory"
  | "step_disk_full"
  | "dependencies_failed"
  | "copy_missing"
  | "secret_unavailable"
  | "node_missing"
  | "node_too_old";

export class ImageError extends Error {
  override name = "ImageError";
  readonly code: ImageErrorCode;
  constructor(code: ImageErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }

  /** The infrastructure failed, not the project. */
  get retryable(): boolean {
    return this.code === "registry_unavailable";
  }
}
