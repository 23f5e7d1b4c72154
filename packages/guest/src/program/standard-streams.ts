/**
 * Node writes to pipes without waiting, so a task that prints faster than the host takes fills its own memory, and `process.exit` loses what
 * is still queued. With blocking pipes neither happens. The streams are made on first use, as Node does, because making them costs time.
 */
interface Blockable {
  _handle?: { setBlocking?(blocking: boolean): number } | null;
}

export function blockingOutput(): void {
  for (const name of ["stdout", "stderr"] as const) {
    const property = Object.getOwnPropertyDescriptor(process, name);
    if (property?.get === undefined) continue;
    Object.defineProperty(process, name, {
      ...property,
      get: () => {
        const stream = property.get?.call(process) as NodeJS.WriteStream & Blockable;
        Object.defineProperty(process, name, property);
        stream._handle?.setBlocking?.(true);
        return stream;
      },
    });
  }
}
