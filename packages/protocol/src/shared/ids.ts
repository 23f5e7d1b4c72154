/** Ids are UUIDv7 text; secrets and tokens are prefixed so that scanners can find them. */
export const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/i;

export function isUuid(text: string): boolean {
  return uuidPattern.test(text);
}

/** Prefixes of every credential Helmr issues (http §1.3, §5.3, §6). */
export const credentialPrefix = {
  apiKey: "hlmr_sk_",
  publicStreamToken: "hlmr_pat_",
  publicCompletionToken: "hlmr_public_access_",
  callbackSecret: "hlmr_callback_",
  worker: "hlmr_wk_",
  workerEnrollment: "hlmr_we_",
  loginSession: "hlmr_ls_",
  magicLink: "hlmr_ml_",
  localLogin: "hlmr_ll_",
  deviceCode: "hlmr_dc_",
  invitation: "hlmr_inv_",
} as const;
