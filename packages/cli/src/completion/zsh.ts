import { type CompletionFlag, type CompletionLevel, flagsWithValue, quoted } from "./table.ts";

export function zshCompletion(levels: readonly CompletionLevel[]): string {
  return `#compdef helmr
# zsh completion of helmr: helmr completion zsh > "\${fpath[1]}/_helmr"
_helmr() {
  local word helmr_path="" last="" skip=0
  local -a helmr_words helmr_flags
  for word in "\${(@)words[2,CURRENT-1]}"; do
    last="$word"
    if (( skip )); then
      skip=0
      continue
    fi
    case "$word" in
      --) _normal; return ;;
      ${flagsWithValue(levels).join("|")}) skip=1 ;;
      -*) ;;
      *)
        _helmr_level "$helmr_path"
        if (( \${helmr_words[(I)$word:*]} )); then helmr_path="\${helmr_path:+$helmr_path }$word"; fi
        ;;
    esac
  done
  if (( skip )); then
    case "$last" in
      *-file) _files ;;
      --dir) _files -/ ;;
    esac
    return
  fi
  _helmr_level "$helmr_path"
  if [[ "$words[CURRENT]" == -* ]]; then
    _describe -o flag helmr_flags
  elif [[ "$helmr_path" == deploy ]]; then
    _files -/
  elif (( $#helmr_words )); then
    _describe command helmr_words
  fi
}

_helmr_level() {
  case "$1" in
${levels.map(level).join("\n")}
  esac
}

if [[ "$funcstack[1]" == _helmr ]]; then
  _helmr "$@"
else
  compdef _helmr helmr
fi
`;
}

function level({ path, words, flags }: CompletionLevel): string {
  return `    ${quoted(path)})
      helmr_words=(${words.map(({ word, says }) => described(word, says)).join(" ")})
      helmr_flags=(${flags.flatMap(spellings).join(" ")})
      ;;`;
}

function spellings(flag: CompletionFlag): string[] {
  return [`--${flag.long}`, ...(flag.short === undefined ? [] : [`-${flag.short}`])].map((spelling) => described(spelling, flag.says));
}

/** `_describe` takes `word:text`. */
function described(word: string, says: string): string {
  return quoted(`${word.replaceAll(":", "\\:")}:${says}`);
}
