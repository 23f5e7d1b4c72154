# bash completion of helmr: source <(helmr completion bash)
_helmr() {
  local current="${COMP_WORDS[COMP_CWORD]}" previous="" path="" word index skip=0
  COMPREPLY=()
  for ((index = 1; index < COMP_CWORD; index++)); do
    word="${COMP_WORDS[index]}"
    previous="$word"
    if ((skip)); then
      skip=0
      continue
    fi
    case "$word" in
      --) return ;;
      --api-url|-a|--dir|--project|-p|--env|-e|--env-file|--timeout|--reason|--payload-file|--payload-json|--payload|--queue|--concurrency-key|--priority|--ttl|--max-duration-seconds|--metadata-file|--metadata-json|--tag|--retry-file|--retry-json|--idempotency-key|--idempotency-key-ttl|--workspace|--external-id|--data-json|--correlation-id|--cursor|--limit|--session|--status|--sandbox|--cwd|--set-env|--cols|--rows|--version|--kind|--from|--from-workspace|--to|--expect|--message|--local|--preview|--slug|--name|--color|--value) skip=1 ;;
      -*) ;;
      *) if _helmr_words "$path" | grep -qxF -- "$word"; then path="${path:+$path }$word"; fi ;;
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
    '') printf '%s\n' init login logout whoami deploy deployment sandbox task session run token workspace project env secret completion ;;
    'deployment') printf '%s\n' list get promote ;;
    'sandbox') printf '%s\n' list get ;;
    'task') printf '%s\n' list get ;;
    'session') printf '%s\n' start list get close cancel stream ;;
    'session stream') printf '%s\n' list input output ;;
    'session stream input') printf '%s\n' send list ;;
    'session stream output') printf '%s\n' list ;;
    'run') printf '%s\n' list get logs events wait cancel ;;
    'token') printf '%s\n' create get complete cancel list ;;
    'workspace') printf '%s\n' create list get update delete open materialize connect stop exec shell pty files cp versions diff capture fork restore port ;;
    'workspace exec') printf '%s\n' list get logs wait ;;
    'workspace pty') printf '%s\n' create connect close ;;
    'project') printf '%s\n' list get create update delete ;;
    'env') printf '%s\n' list get create update delete ;;
    'secret') printf '%s\n' list get set delete ;;
    'completion') printf '%s\n' bash zsh fish ;;
  esac
}

_helmr_flags() {
  case "$1" in
    '') printf '%s\n' --version --api-url -a --help -h ;;
    'init') printf '%s\n' --dir --force --api-url -a --help -h ;;
    'login') printf '%s\n' --no-browser --api-url -a --help -h ;;
    'logout') printf '%s\n' --api-url -a --help -h ;;
    'whoami') printf '%s\n' --json --api-url -a --help -h ;;
    'deploy') printf '%s\n' --project -p --env -e --env-file --detach --skip-promotion --timeout --json --api-url -a --help -h ;;
    'deployment') printf '%s\n' --api-url -a --help -h ;;
    'deployment list') printf '%s\n' --project -p --env -e --json --api-url -a --help -h ;;
    'deployment get') printf '%s\n' --project -p --env -e --json --api-url -a --help -h ;;
    'deployment promote') printf '%s\n' --project -p --env -e --reason --api-url -a --help -h ;;
    'sandbox') printf '%s\n' --api-url -a --help -h ;;
    'sandbox list') printf '%s\n' --project -p --env -e --json --api-url -a --help -h ;;
    'sandbox get') printf '%s\n' --project -p --env -e --json --api-url -a --help -h ;;
    'task') printf '%s\n' --api-url -a --help -h ;;
    'task list') printf '%s\n' --project -p --env -e --json --api-url -a --help -h ;;
    'task get') printf '%s\n' --project -p --env -e --json --api-url -a --help -h ;;
    'session') printf '%s\n' --api-url -a --help -h ;;
    'session start') printf '%s\n' --project -p --env -e --json --payload-file --payload-json --payload --queue --concurrency-key --priority --ttl --max-duration-seconds --metadata-file --metadata-json --tag --retry-file --retry-json --idempotency-key --idempotency-key-ttl --workspace --wait --follow --timeout --exit-status --api-url -a --help -h ;;
    'session list') printf '%s\n' --project -p --env -e --json --external-id --api-url -a --help -h ;;
    'session get') printf '%s\n' --project -p --env -e --json --external-id --api-url -a --help -h ;;
    'session close') printf '%s\n' --project -p --env -e --json --reason --api-url -a --help -h ;;
    'session cancel') printf '%s\n' --project -p --env -e --json --reason --api-url -a --help -h ;;
    'session stream') printf '%s\n' --api-url -a --help -h ;;
    'session stream list') printf '%s\n' --project -p --env -e --json --api-url -a --help -h ;;
    'session stream input') printf '%s\n' --api-url -a --help -h ;;
    'session stream input send') printf '%s\n' --project -p --env -e --json --data-json --correlation-id --idempotency-key --api-url -a --help -h ;;
    'session stream input list') printf '%s\n' --project -p --env -e --json --cursor --limit --api-url -a --help -h ;;
    'session stream output') printf '%s\n' --api-url -a --help -h ;;
    'session stream output list') printf '%s\n' --project -p --env -e --json --cursor --limit --api-url -a --help -h ;;
    'run') printf '%s\n' --api-url -a --help -h ;;
    'run list') printf '%s\n' --project -p --env -e --json --jsonl --session --api-url -a --help -h ;;
    'run get') printf '%s\n' --project -p --env -e --json --api-url -a --help -h ;;
    'run logs') printf '%s\n' --project -p --env -e --follow --records --json --api-url -a --help -h ;;
    'run events') printf '%s\n' --project -p --env -e --cursor --limit --follow --api-url -a --help -h ;;
    'run wait') printf '%s\n' --project -p --env -e --json --timeout --exit-status --api-url -a --help -h ;;
    'run cancel') printf '%s\n' --project -p --env -e --json --reason --force --idempotency-key --api-url -a --help -h ;;
    'token') printf '%s\n' --api-url -a --help -h ;;
    'token create') printf '%s\n' --project -p --env -e --json --timeout --metadata-json --tag --idempotency-key --api-url -a --help -h ;;
    'token get') printf '%s\n' --project -p --env -e --json --api-url -a --help -h ;;
    'token complete') printf '%s\n' --project -p --env -e --json --data-json --api-url -a --help -h ;;
    'token cancel') printf '%s\n' --project -p --env -e --json --api-url -a --help -h ;;
    'token list') printf '%s\n' --project -p --env -e --json --status --limit --api-url -a --help -h ;;
    'workspace') printf '%s\n' --api-url -a --help -h ;;
    'workspace create') printf '%s\n' --project -p --env -e --json --sandbox --external-id --metadata-json --tag --idempotency-key --idempotency-key-ttl --api-url -a --help -h ;;
    'workspace list') printf '%s\n' --project -p --env -e --json --api-url -a --help -h ;;
    'workspace get') printf '%s\n' --project -p --env -e --json --api-url -a --help -h ;;
    'workspace update') printf '%s\n' --project -p --env -e --json --metadata-json --tag --api-url -a --help -h ;;
    'workspace delete') printf '%s\n' --project -p --env -e --yes --api-url -a --help -h ;;
    'workspace open') printf '%s\n' --project -p --env -e --json --api-url -a --help -h ;;
    'workspace materialize') printf '%s\n' --project -p --env -e --json --api-url -a --help -h ;;
    'workspace connect') printf '%s\n' --project -p --env -e --json --api-url -a --help -h ;;
    'workspace stop') printf '%s\n' --project -p --env -e --json --idempotency-key --idempotency-key-ttl --api-url -a --help -h ;;
    'workspace exec') printf '%s\n' --project -p --env -e --json --detach --cwd --set-env --idempotency-key --api-url -a --help -h ;;
    'workspace exec list') printf '%s\n' --project -p --env -e --json --api-url -a --help -h ;;
    'workspace exec get') printf '%s\n' --project -p --env -e --json --api-url -a --help -h ;;
    'workspace exec logs') printf '%s\n' --project -p --env -e --cursor --follow --api-url -a --help -h ;;
    'workspace exec wait') printf '%s\n' --project -p --env -e --json --api-url -a --help -h ;;
    'workspace shell') printf '%s\n' --project -p --env -e --cwd --api-url -a --help -h ;;
    'workspace pty') printf '%s\n' --api-url -a --help -h ;;
    'workspace pty create') printf '%s\n' --project -p --env -e --json --cwd --cols --rows --idempotency-key --api-url -a --help -h ;;
    'workspace pty connect') printf '%s\n' --project -p --env -e --api-url -a --help -h ;;
    'workspace pty close') printf '%s\n' --project -p --env -e --json --api-url -a --help -h ;;
    'workspace files') printf '%s\n' --project -p --env -e --json --version --api-url -a --help -h ;;
    'workspace cp') printf '%s\n' --project -p --env -e --version --upload --api-url -a --help -h ;;
    'workspace versions') printf '%s\n' --project -p --env -e --json --kind --limit --api-url -a --help -h ;;
    'workspace diff') printf '%s\n' --project -p --env -e --json --from --from-workspace --to --patch --api-url -a --help -h ;;
    'workspace capture') printf '%s\n' --project -p --env -e --json --expect --message --idempotency-key --idempotency-key-ttl --api-url -a --help -h ;;
    'workspace fork') printf '%s\n' --project -p --env -e --json --version --external-id --metadata-json --tag --idempotency-key --idempotency-key-ttl --api-url -a --help -h ;;
    'workspace restore') printf '%s\n' --project -p --env -e --json --expect --message --api-url -a --help -h ;;
    'workspace port') printf '%s\n' --project -p --env -e --json --local --preview --api-url -a --help -h ;;
    'project') printf '%s\n' --api-url -a --help -h ;;
    'project list') printf '%s\n' --json --api-url -a --help -h ;;
    'project get') printf '%s\n' --json --api-url -a --help -h ;;
    'project create') printf '%s\n' --slug --json --api-url -a --help -h ;;
    'project update') printf '%s\n' --name --slug --json --api-url -a --help -h ;;
    'project delete') printf '%s\n' --yes --api-url -a --help -h ;;
    'env') printf '%s\n' --api-url -a --help -h ;;
    'env list') printf '%s\n' --project --json --api-url -a --help -h ;;
    'env get') printf '%s\n' --project --json --api-url -a --help -h ;;
    'env create') printf '%s\n' --project --slug --color --json --api-url -a --help -h ;;
    'env update') printf '%s\n' --project --name --slug --color --json --api-url -a --help -h ;;
    'env delete') printf '%s\n' --project --yes --api-url -a --help -h ;;
    'secret') printf '%s\n' --api-url -a --help -h ;;
    'secret list') printf '%s\n' --project -p --env -e --json --api-url -a --help -h ;;
    'secret get') printf '%s\n' --project -p --env -e --json --api-url -a --help -h ;;
    'secret set') printf '%s\n' --project -p --env -e --json --value --api-url -a --help -h ;;
    'secret delete') printf '%s\n' --project -p --env -e --yes --api-url -a --help -h ;;
    'completion') printf '%s\n' --api-url -a --help -h ;;
  esac
}

complete -F _helmr helmr
