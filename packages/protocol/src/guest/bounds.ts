/** Numbers of the guest protocol that both sides count with. Kept apart from the schemas, so that a guest needs none of them in memory. */

/** Fixed stream ids, guest → host. */
export const guestStreams = { stdout: 1, stderr: 2, logger: 3, buildLog: 4 } as const;
/** Streams from here on are chosen by the host, unique in a machine's life: execs, terminals, files, connections. */
export const firstDynamicStream = 16;
/** The most bytes a sender may have unacknowledged on one stream. */
export const streamWindowBytes = 262_144;
/** A receiver acknowledges at the latest when this many bytes came since its last acknowledgement. */
export const streamAckBytes = 65_536;
/** One line of the logger stream, without its line break. */
export const loggerLineBytesMax = 262_144;
/** Calls of one program that wait for an answer at the same time. */
export const openCallsMax = 1000;
/** JSON text inside a call or an output, in characters. */
export const callJsonCharactersMax = 300_000;
/** Execs and terminals at the same time, ended ones that are not forgotten included. */
export const processesMax = 64;
