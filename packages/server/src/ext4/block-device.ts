/** What the reader reads from, and how it says that it cannot. The bytes are a guest's: any of them may be wrong on purpose. */

export interface BlockDevice {
  readonly lengthBytes: number;
  /** Exactly these bytes; the result must not be changed. The range lies inside the device. */
  read(offset: number, length: number): Promise<Buffer>;
}

export type Ext4ErrorCode =
  /** No file system that this reader knows. */
  | "unsupported"
  /** A structure that contradicts itself. */
  | "corrupt"
  /** One request would cost more than it may. */
  | "too_much_work"
  | "not_found"
  | "not_directory"
  | "not_regular";

export class Ext4Error extends Error {
  override name = "Ext4Error";
  readonly code: Ext4ErrorCode;
  constructor(code: Ext4ErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

export const corrupt = (message: string): Ext4Error => new Ext4Error("corrupt", message);

/** What one request may cost. Every loop over the device's structures spends from one. */
export class WorkBudget {
  private left: number;

  constructor(steps: number) {
    this.left = steps;
  }

  spend(steps = 1): void {
    this.left -= steps;
    if (this.left < 0) throw new Ext4Error("too_much_work", "The request touches more of the file system than one request may");
  }
}
