import { type CompletionFlag, type CompletionLevel, flagsWithValue, quoted } from "./table.ts";

export function bashCompletion(levels: readonly CompletionLevel[]): string {
  return `# bash completion of helmr: source <(helmr completion bash)
_helmr() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="" path="" word index skip=0
  COMPREPLY=()
  for ((index = 1; index < COMP_CWORD; index++)); do
    word="\${COMP_WORDS[index]}"
    previous="$word"
    if ((skip)); then
      skip=0
      continue
    fi
    case "$word" in
      --) return ;;
      ${flagsWithValue(levels).join("|")}) skip=1 ;;
      -*) ;;
      *) if _helmr_words "$path" | grep -qxF -- "$word"; then path="\${path:+$path }$word"; fi ;;
    esac
  done
  if ((skip)); then
    case "$previous" in
      *-file) COMPREPLY=($(compgen -f -- "$current")) ;;
      --dir) COMPREPLY=($(compgen -d -- "$current")) ;;
    esac
  elif [[ "$current" == -* ]]; then
    COMPREPLY=($(compgen -W "$(_helmr_flags "$path")" -- "$current"))
  elif [[ "$path" == deploy ]]; then
    COMPREPLY=($(compgen -d -- "$current"))
  else
    COMPREPLY=($(compgen -W "$(_helmr_words "$path")" -- "$current"))
  fi
}

_helmr_words() {
  case "$1" in
${cases(levels.filter((level) => level.words.length > 0).map((level) => [level.path, level.words.map(({ word }) => word)]))}
  esac
}

_helmr_flags() {
  case "$1" in
${cases(levels.map((level) => [level.path, level.flags.flatMap(spellings)]))}
  esac
}

complete -F _helmr helmr
`;
}

function spellings(flag: CompletionFlag): string[] {
  return [`--${flag.long}`, ...(flag.short === undefined ? [] : [`-${flag.short}`])];
}

function cases(rows: readonly (readonly [string, readonly string[]])[]): string {
  return rows.map(([path, words]) => `    ${quoted(path)}) printf '%s\\n' ${words.join(" ")} ;;`).join("\n");
}
