/** What a person sees while long work goes on: one line per step on stderr, times for those that took a while. */
export interface Progress {
  step(title: string): void;
  detail(line: string): void;
}

export function openProgress(): Progress {
  const startedAt = performance.now();
  const colour = process.stderr.isTTY && !process.env["NO_COLOR"] && !process.env["CI"];
  const bold = (text: string) => (colour ? `\u001b[1m${text}\u001b[0m` : text);
  const dim = (text: string) => (colour ? `\u001b[2m${text}\u001b[0m` : text);
  return {
    step(title) {
      const seconds = ((performance.now() - startedAt) / 1000).toFixed(1).padStart(6);
      process.stderr.write(`${dim(`${seconds} s`)}  ${bold(title)}\n`);
    },
    detail(line) {
      process.stderr.write(`          ${dim(line)}\n`);
    },
  };
}
