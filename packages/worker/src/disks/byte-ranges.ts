/** Ascending, non-overlapping, half-open ranges of bytes. */
export interface ByteRange {
  start: number;
  end: number;
}

/** Union of two ascending lists. */
export function* mergeRanges(left: Iterable<ByteRange>, right: Iterable<ByteRange>): Generator<ByteRange> {
  const a = left[Symbol.iterator]();
  const b = right[Symbol.iterator]();
  let first = a.next();
  let second = b.next();
  let open: ByteRange | undefined;
  while (!first.done || !second.done) {
    const takeFirst = second.done || (!first.done && first.value.start <= second.value.start);
    const next = (takeFirst ? first.value : second.value) as ByteRange;
    if (takeFirst) first = a.next();
    else second = b.next();
    if (open !== undefined && next.start <= open.end) {
      open.end = Math.max(open.end, next.end);
      continue;
    }
    if (open !== undefined) yield open;
    open = { ...next };
  }
  if (open !== undefined) yield open;
}

/** Numbers of the blocks of `blockBytes` that the ranges touch, ascending, each once. */
export function* touchedBlocks(ranges: Iterable<ByteRange>, blockBytes: number): Generator<number> {
  let next = 0;
  for (const range of ranges) {
    const last = Math.floor((range.end - 1) / blockBytes);
    for (let block = Math.max(next, Math.floor(range.start / blockBytes)); block <= last; block += 1) {
      yield block;
      next = block + 1;
    }
  }
}
