import { type CompletionFlag, type CompletionLevel, flagsWithValue } from "./table.ts";

export function fishCompletion(levels: readonly CompletionLevel[]): string {
  return `# fish completion of helmr: helmr completion fish > ~/.config/fish/completions/helmr.fish
function __helmr_path
    set -l path
    set -l skip 0
    for word in (commandline -opc)[2..-1]
        if test $skip = 1
            set skip 0
            continue
        end
        switch $word
            case ${flagsWithValue(levels).join(" ")}
                set skip 1
            case '-*'
            case '*'
                if contains -- (string join ' ' -- $path $word) $__helmr_paths
                    set -a path $word
                end
        end
    end
    string join ' ' -- $path
end

function __helmr_at
    set -l path (__helmr_path)
    test "$path" = "$argv[1]"
end

set -g __helmr_paths ${levels
    .filter(({ path }) => path !== "")
    .map(({ path }) => quoted(path))
    .join(" ")}
complete -c helmr -f
${levels.flatMap(lines).join("\n")}
`;
}

function lines({ path, words, flags }: CompletionLevel): string[] {
  const condition = `-n ${quoted(`__helmr_at ${quoted(path)}`)}`;
  return [
    ...words.map(({ word, says }) => `complete -c helmr ${condition} -a ${word} -d ${quoted(says)}`),
    ...flags.map((flag) => `complete -c helmr ${condition} ${flagOptions(flag)} -d ${quoted(flag.says)}`),
  ];
}

function flagOptions(flag: CompletionFlag): string {
  const short = flag.short === undefined ? "" : `-s ${flag.short} `;
  const files = flag.long.endsWith("-file") || flag.long === "dir" ? " -F" : "";
  return `${short}-l ${flag.long}${flag.takesValue ? " -r" : ""}${files}`;
}

/** Inside single quotes of fish. */
function quoted(text: string): string {
  return `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
}
