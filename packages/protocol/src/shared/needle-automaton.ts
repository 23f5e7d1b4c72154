/**
 * Aho-Corasick over bytes: all needles are looked for at once, in time linear in the text. States are numbers, 0 is the root; a state stands for the
 * longest end of the text so far that is the beginning of a needle, and its depth is the length of that end.
 *
 * Memory is about 24 bytes per byte of needles. States with many successors get a table, all others a list: most have one.
 */
export interface NeedleAutomaton {
  next(state: number, byte: number): number;
  /** Bytes at the end of the text that may belong to a needle still to come. */
  depth(state: number): number;
  /** Length of the longest needle that ends here; 0 when none does. */
  matchLength(state: number): number;
  /** Whether any needle is in these bytes. */
  finds(bytes: Uint8Array): boolean;
}

const tableFrom = 5;

interface Trie {
  size: number;
  firstChild: Int32Array;
  nextSibling: Int32Array;
  byte: Uint8Array;
  depth: Int32Array;
  match: Int32Array;
  fail: Int32Array;
}

export function buildAutomaton(needles: readonly Uint8Array[]): NeedleAutomaton {
  const trie = buildTrie(needles);
  const tables = buildTables(trie);
  const root = tables.get(0) as Int32Array;
  linkFailures(trie, tables);
  const { fail, depth, match } = trie;

  function next(from: number, byte: number): number {
    for (let state = from; state !== 0; state = fail[state] as number) {
      const target = successor(trie, tables, state, byte);
      if (target !== 0) return target;
    }
    return root[byte] as number;
  }

  return {
    next,
    depth: (state) => depth[state] as number,
    matchLength: (state) => match[state] as number,
    finds(bytes) {
      let state = 0;
      for (const byte of bytes) {
        state = state === 0 ? (root[byte] as number) : next(state, byte);
        if (match[state] !== 0) return true;
      }
      return false;
    },
  };
}

/** 0 when there is none: nothing leads back to the root. */
function successor(trie: Trie, tables: ReadonlyMap<number, Int32Array>, state: number, byte: number): number {
  const first = trie.firstChild[state] as number;
  if (first === 0) return 0;
  if (trie.byte[first] === byte) return first;
  const second = trie.nextSibling[first] as number;
  if (second === 0) return 0;
  const table = tables.get(state);
  if (table) return table[byte] as number;
  for (let child = second; child !== 0; child = trie.nextSibling[child] as number) if (trie.byte[child] === byte) return child;
  return 0;
}

function buildTrie(needles: readonly Uint8Array[]): Trie {
  const most = 1 + needles.reduce((sum, needle) => sum + needle.length, 0);
  const trie: Trie = {
    size: 1,
    firstChild: new Int32Array(most),
    nextSibling: new Int32Array(most),
    byte: new Uint8Array(most),
    depth: new Int32Array(most),
    match: new Int32Array(most),
    fail: new Int32Array(most),
  };
  for (const needle of needles) {
    let state = 0;
    for (const byte of needle) state = childOf(trie, state, byte);
    if (state !== 0) trie.match[state] = needle.length;
  }
  return trie;
}

function childOf(trie: Trie, state: number, byte: number): number {
  for (let child = trie.firstChild[state] as number; child !== 0; child = trie.nextSibling[child] as number) {
    if (trie.byte[child] === byte) return child;
  }
  const child = trie.size;
  trie.size += 1;
  trie.byte[child] = byte;
  trie.depth[child] = (trie.depth[state] as number) + 1;
  trie.nextSibling[child] = trie.firstChild[state] as number;
  trie.firstChild[state] = child;
  return child;
}

function buildTables(trie: Trie): Map<number, Int32Array> {
  const tables = new Map<number, Int32Array>();
  for (let state = 0; state < trie.size; state += 1) {
    let children = 0;
    for (let child = trie.firstChild[state] as number; child !== 0; child = trie.nextSibling[child] as number) children += 1;
    if (state !== 0 && children < tableFrom) continue;
    const table = new Int32Array(256);
    for (let child = trie.firstChild[state] as number; child !== 0; child = trie.nextSibling[child] as number) {
      table[trie.byte[child] as number] = child;
    }
    tables.set(state, table);
  }
  return tables;
}

/** Breadth first, so that the state to fall back to is complete when it is needed. */
function linkFailures(trie: Trie, tables: ReadonlyMap<number, Int32Array>): void {
  const { firstChild, nextSibling, byte, fail, match } = trie;
  const root = tables.get(0) as Int32Array;
  const queue = new Int32Array(trie.size);
  let filled = 0;
  for (let child = firstChild[0] as number; child !== 0; child = nextSibling[child] as number) queue[filled++] = child;
  for (let at = 0; at < filled; at += 1) {
    const state = queue[at] as number;
    // The needle of the state itself is longer than any that ends inside it.
    if (match[state] === 0) match[state] = match[fail[state] as number] as number;
    for (let child = firstChild[state] as number; child !== 0; child = nextSibling[child] as number) {
      const label = byte[child] as number;
      let back = fail[state] as number;
      let target = 0;
      for (; back !== 0; back = fail[back] as number) {
        target = successor(trie, tables, back, label);
        if (target !== 0) break;
      }
      fail[child] = target === 0 ? (root[label] as number) : target;
      queue[filled++] = child;
    }
  }
}
