/** Versions that travel on a wire. They are never part of a file, class or folder name. */
export const apiVersion = "2026-06-06";
export const bundleFormatVersion = 2;
export const workerProtocolVersion = "helmr.worker.v1";
export const guestProtocolVersion = 1;
export const helmrVersion = "0.1.0";
