#compdef helmr
# zsh completion of helmr: helmr completion zsh > "${fpath[1]}/_helmr"
_helmr() {
  local word helmr_path="" last="" skip=0
  local -a helmr_words helmr_flags
  for word in "${(@)words[2,CURRENT-1]}"; do
    last="$word"
    if (( skip )); then
      skip=0
      continue
    fi
    case "$word" in
      --) _normal; return ;;
      --api-url|-a|--dir|--project|-p|--env|-e|--env-file|--timeout|--reason|--payload-file|--payload-json|--payload|--queue|--concurrency-key|--priority|--ttl|--max-duration-seconds|--metadata-file|--metadata-json|--tag|--retry-file|--retry-json|--idempotency-key|--idempotency-key-ttl|--workspace|--external-id|--data-json|--correlation-id|--cursor|--limit|--session|--status|--sandbox|--cwd|--set-env|--cols|--rows|--version|--kind|--from|--from-workspace|--to|--expect|--message|--local|--preview|--slug|--name|--color|--value) skip=1 ;;
      -*) ;;
      *)
        _helmr_level "$helmr_path"
        if (( ${helmr_words[(I)$word:*]} )); then helmr_path="${helmr_path:+$helmr_path }$word"; fi
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
    '')
      helmr_words=('init:make a project with a task that runs as it is' 'login:log in through the browser and save the login' 'logout:revoke the saved login and delete it' 'whoami:say which credential is used, and for which host' 'deploy:build a project, wait for it and make it the current deployment' 'deployment:see and promote deployments' 'sandbox:see the sandboxes of the current deployment' 'task:see the tasks of the current deployment' 'session:start, see and end sessions' 'run:see, follow and cancel runs' 'token:create and complete tokens that runs wait for' 'workspace:work with workspaces: commands, terminals, mounts, files, versions' 'project:see and manage projects' 'env:see and manage the environments of a project' 'secret:set and delete secrets' 'completion:print a completion script for a shell')
      helmr_flags=('--version:print the version' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'init')
      helmr_words=()
      helmr_flags=('--dir:directory of the project; the current one without it' '--force:overwrite helmr.config.ts and tasks/hello.ts' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'login')
      helmr_words=()
      helmr_flags=('--no-browser:do not open a browser' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'logout')
      helmr_words=()
      helmr_flags=('--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'whoami')
      helmr_words=()
      helmr_flags=('--json:print JSON' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'deploy')
      helmr_words=()
      helmr_flags=('--project:project, by slug or id' '-p:project, by slug or id' '--env:environment, by slug or id' '-e:environment, by slug or id' '--env-file:variables for helmr.config.ts, KEY=VALUE per line' '--detach:return once the source is uploaded' '--skip-promotion:do not make it the current deployment' '--timeout:give up waiting for the build after this time; 20m without it, 0 for no limit' '--json:print JSON' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'deployment')
      helmr_words=('list:list deployments, newest first' 'get:show a deployment' 'promote:make a deployment the current one of its environment')
      helmr_flags=('--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'deployment list')
      helmr_words=()
      helmr_flags=('--project:project, by slug or id' '-p:project, by slug or id' '--env:environment, by slug or id' '-e:environment, by slug or id' '--json:print JSON' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'deployment get')
      helmr_words=()
      helmr_flags=('--project:project, by slug or id' '-p:project, by slug or id' '--env:environment, by slug or id' '-e:environment, by slug or id' '--json:print JSON' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'deployment promote')
      helmr_words=()
      helmr_flags=('--project:project, by slug or id' '-p:project, by slug or id' '--env:environment, by slug or id' '-e:environment, by slug or id' '--reason:why, for the record' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'sandbox')
      helmr_words=('list:list the sandboxes of the current deployment' 'get:show a sandbox of the current deployment')
      helmr_flags=('--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'sandbox list')
      helmr_words=()
      helmr_flags=('--project:project, by slug or id' '-p:project, by slug or id' '--env:environment, by slug or id' '-e:environment, by slug or id' '--json:print JSON' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'sandbox get')
      helmr_words=()
      helmr_flags=('--project:project, by slug or id' '-p:project, by slug or id' '--env:environment, by slug or id' '-e:environment, by slug or id' '--json:print JSON' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'task')
      helmr_words=('list:list the tasks of the current deployment' 'get:show a task of the current deployment')
      helmr_flags=('--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'task list')
      helmr_words=()
      helmr_flags=('--project:project, by slug or id' '-p:project, by slug or id' '--env:environment, by slug or id' '-e:environment, by slug or id' '--json:print JSON' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'task get')
      helmr_words=()
      helmr_flags=('--project:project, by slug or id' '-p:project, by slug or id' '--env:environment, by slug or id' '-e:environment, by slug or id' '--json:print JSON' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'session')
      helmr_words=('start:start a session of a task and its first run' 'list:list sessions, last changed first' 'get:show a session, and why it does not run when it does not' 'close:close a session whose work is done' 'cancel:cancel a session and its current run' 'stream:read and write the streams of a session')
      helmr_flags=('--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'session start')
      helmr_words=()
      helmr_flags=('--project:project, by slug or id' '-p:project, by slug or id' '--env:environment, by slug or id' '-e:environment, by slug or id' '--json:print JSON' '--payload-file:JSON file with the payload' '--payload-json:the payload' '--payload:one member of the payload, as text' '--queue:queue of the deployment, instead of the task'\''s own' '--concurrency-key:runs with the same key share a concurrency limit' '--priority:larger runs first' '--ttl:how long the run may stay queued, such as 10m' '--max-duration-seconds:limit of active time, instead of the task'\''s own' '--metadata-file:JSON file with the metadata' '--metadata-json:the metadata, an object' '--tag:tag of the session' '--retry-file:JSON file with the retry policy' '--retry-json:the retry policy, instead of the task'\''s own' '--idempotency-key:a repeated start with this key gives the same session' '--idempotency-key-ttl:how long the key is remembered, such as 7d' '--workspace:use this workspace instead of a new one' '--wait:wait for the end of the run' '--follow:wait, and show what the run prints' '--timeout:give up waiting after this time' '--exit-status:exit with 2 when the run did not succeed' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'session list')
      helmr_words=()
      helmr_flags=('--project:project, by slug or id' '-p:project, by slug or id' '--env:environment, by slug or id' '-e:environment, by slug or id' '--json:print JSON' '--external-id:only the session with this id of your own' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'session get')
      helmr_words=()
      helmr_flags=('--project:project, by slug or id' '-p:project, by slug or id' '--env:environment, by slug or id' '-e:environment, by slug or id' '--json:print JSON' '--external-id:id of your own, given when the session was started' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'session close')
      helmr_words=()
      helmr_flags=('--project:project, by slug or id' '-p:project, by slug or id' '--env:environment, by slug or id' '-e:environment, by slug or id' '--json:print JSON' '--reason:why, for the record' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'session cancel')
      helmr_words=()
      helmr_flags=('--project:project, by slug or id' '-p:project, by slug or id' '--env:environment, by slug or id' '-e:environment, by slug or id' '--json:print JSON' '--reason:why, for the record' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'session stream')
      helmr_words=('list:list the streams of a session' 'input:send and list input records' 'output:list output records')
      helmr_flags=('--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'session stream list')
      helmr_words=()
      helmr_flags=('--project:project, by slug or id' '-p:project, by slug or id' '--env:environment, by slug or id' '-e:environment, by slug or id' '--json:print JSON' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'session stream input')
      helmr_words=('send:append a record to an input stream' 'list:list the records of an input stream')
      helmr_flags=('--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'session stream input send')
      helmr_words=()
      helmr_flags=('--project:project, by slug or id' '-p:project, by slug or id' '--env:environment, by slug or id' '-e:environment, by slug or id' '--json:print JSON' '--data-json:the data of the record' '--correlation-id:what the record answers' '--idempotency-key:a repeated send with this key appends nothing' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'session stream input list')
      helmr_words=()
      helmr_flags=('--project:project, by slug or id' '-p:project, by slug or id' '--env:environment, by slug or id' '-e:environment, by slug or id' '--json:print JSON' '--cursor:only records behind this sequence' '--limit:at most so many records' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'session stream output')
      helmr_words=('list:list the records of an output stream')
      helmr_flags=('--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'session stream output list')
      helmr_words=()
      helmr_flags=('--project:project, by slug or id' '-p:project, by slug or id' '--env:environment, by slug or id' '-e:environment, by slug or id' '--json:print JSON' '--cursor:only records behind this sequence' '--limit:at most so many records' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'run')
      helmr_words=('list:list runs of every status, newest first' 'get:show a run, and why it does not run when it does not' 'logs:print what a run wrote' 'events:print the events of a run, one JSON object per line' 'wait:wait for the end of a run' 'cancel:cancel a run')
      helmr_flags=('--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'run list')
      helmr_words=()
      helmr_flags=('--project:project, by slug or id' '-p:project, by slug or id' '--env:environment, by slug or id' '-e:environment, by slug or id' '--json:print JSON' '--jsonl:print one run per line, as JSON' '--session:only the runs of this session' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'run get')
      helmr_words=()
      helmr_flags=('--project:project, by slug or id' '-p:project, by slug or id' '--env:environment, by slug or id' '-e:environment, by slug or id' '--json:print JSON' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'run logs')
      helmr_words=()
      helmr_flags=('--project:project, by slug or id' '-p:project, by slug or id' '--env:environment, by slug or id' '-e:environment, by slug or id' '--follow:go on until the run has ended' '--records:print log records instead of bytes' '--json:print one record per line, as JSON; needs --records' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'run events')
      helmr_words=()
      helmr_flags=('--project:project, by slug or id' '-p:project, by slug or id' '--env:environment, by slug or id' '-e:environment, by slug or id' '--cursor:only events behind this id' '--limit:at most so many events; all of them without it' '--follow:go on until the run has ended' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'run wait')
      helmr_words=()
      helmr_flags=('--project:project, by slug or id' '-p:project, by slug or id' '--env:environment, by slug or id' '-e:environment, by slug or id' '--json:print JSON' '--timeout:give up after this time' '--exit-status:exit with 2 when the run did not succeed' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'run cancel')
      helmr_words=()
      helmr_flags=('--project:project, by slug or id' '-p:project, by slug or id' '--env:environment, by slug or id' '-e:environment, by slug or id' '--json:print JSON' '--reason:why, for the record' '--force:stop the task without notice' '--idempotency-key:a repeated cancel with this key gives the same operation' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'token')
      helmr_words=('create:create a token that somebody outside completes' 'get:show a token' 'complete:complete a token and wake what waits on it' 'cancel:cancel a pending token' 'list:list tokens, oldest first')
      helmr_flags=('--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'token create')
      helmr_words=()
      helmr_flags=('--project:project, by slug or id' '-p:project, by slug or id' '--env:environment, by slug or id' '-e:environment, by slug or id' '--json:print JSON' '--timeout:how long it may take, such as 24h; 7 days without it' '--metadata-json:metadata, an object' '--tag:tag of the token' '--idempotency-key:a repeated create with this key gives the same token' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'token get')
      helmr_words=()
      helmr_flags=('--project:project, by slug or id' '-p:project, by slug or id' '--env:environment, by slug or id' '-e:environment, by slug or id' '--json:print JSON' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'token complete')
      helmr_words=()
      helmr_flags=('--project:project, by slug or id' '-p:project, by slug or id' '--env:environment, by slug or id' '-e:environment, by slug or id' '--json:print JSON' '--data-json:what the wait gets' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'token cancel')
      helmr_words=()
      helmr_flags=('--project:project, by slug or id' '-p:project, by slug or id' '--env:environment, by slug or id' '-e:environment, by slug or id' '--json:print JSON' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'token list')
      helmr_words=()
      helmr_flags=('--project:project, by slug or id' '-p:project, by slug or id' '--env:environment, by slug or id' '-e:environment, by slug or id' '--json:print JSON' '--status:only pending, completed, expired or cancelled ones' '--limit:at most so many tokens' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'workspace')
      helmr_words=('create:create an empty workspace for a sandbox' 'list:list workspaces' 'get:show a workspace' 'update:replace metadata or tags of a workspace' 'delete:delete a workspace with all its versions' 'open:print where the console shows a workspace' 'materialize:mount a workspace, or show the mount it has' 'connect:mount a workspace, or show the mount it has' 'stop:capture and unmount a workspace' 'exec:run a command in a workspace' 'shell:open a shell in a workspace' 'pty:work with terminals of a workspace' 'files:list the files of a directory, without a machine' 'cp:download a file or a directory without a machine, or upload one' 'versions:list the versions of a workspace, the newest first' 'diff:show which files differ between two versions, without a machine' 'capture:make a version of what is in a workspace now' 'fork:make a new workspace that begins with a version of this one' 'restore:make an old version the current one again' 'port:forward a port of a workspace to this machine')
      helmr_flags=('--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'workspace create')
      helmr_words=()
      helmr_flags=('--project:project, by slug or id' '-p:project, by slug or id' '--env:environment, by slug or id' '-e:environment, by slug or id' '--json:print JSON' '--sandbox:id of a sandbox of the current deployment' '--external-id:an id of your own, unique in the environment' '--metadata-json:metadata, an object' '--tag:tag of the workspace' '--idempotency-key:a repeated create with this key gives the same workspace' '--idempotency-key-ttl:how long the key is remembered, such as 24h' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'workspace list')
      helmr_words=()
      helmr_flags=('--project:project, by slug or id' '-p:project, by slug or id' '--env:environment, by slug or id' '-e:environment, by slug or id' '--json:print JSON' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'workspace get')
      helmr_words=()
      helmr_flags=('--project:project, by slug or id' '-p:project, by slug or id' '--env:environment, by slug or id' '-e:environment, by slug or id' '--json:print JSON' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'workspace update')
      helmr_words=()
      helmr_flags=('--project:project, by slug or id' '-p:project, by slug or id' '--env:environment, by slug or id' '-e:environment, by slug or id' '--json:print JSON' '--metadata-json:metadata, an object' '--tag:tag of the workspace' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'workspace delete')
      helmr_words=()
      helmr_flags=('--project:project, by slug or id' '-p:project, by slug or id' '--env:environment, by slug or id' '-e:environment, by slug or id' '--yes:do it without asking; needed where nobody can be asked' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'workspace open')
      helmr_words=()
      helmr_flags=('--project:project, by slug or id' '-p:project, by slug or id' '--env:environment, by slug or id' '-e:environment, by slug or id' '--json:print JSON' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'workspace materialize')
      helmr_words=()
      helmr_flags=('--project:project, by slug or id' '-p:project, by slug or id' '--env:environment, by slug or id' '-e:environment, by slug or id' '--json:print JSON' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'workspace connect')
      helmr_words=()
      helmr_flags=('--project:project, by slug or id' '-p:project, by slug or id' '--env:environment, by slug or id' '-e:environment, by slug or id' '--json:print JSON' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'workspace stop')
      helmr_words=()
      helmr_flags=('--project:project, by slug or id' '-p:project, by slug or id' '--env:environment, by slug or id' '-e:environment, by slug or id' '--json:print JSON' '--idempotency-key:a repeated stop with this key gives the same answer' '--idempotency-key-ttl:how long the key is remembered, such as 24h' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'workspace exec')
      helmr_words=('list:list the execs of a workspace' 'get:show an exec' 'logs:print what an exec wrote' 'wait:wait for the end of an exec and exit with its exit code')
      helmr_flags=('--project:project, by slug or id' '-p:project, by slug or id' '--env:environment, by slug or id' '-e:environment, by slug or id' '--json:print JSON' '--detach:start the command and return' '--cwd:working directory; the workspace without it' '--set-env:environment variable of the command' '--idempotency-key:a repeated exec with this key gives the same exec' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'workspace exec list')
      helmr_words=()
      helmr_flags=('--project:project, by slug or id' '-p:project, by slug or id' '--env:environment, by slug or id' '-e:environment, by slug or id' '--json:print JSON' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'workspace exec get')
      helmr_words=()
      helmr_flags=('--project:project, by slug or id' '-p:project, by slug or id' '--env:environment, by slug or id' '-e:environment, by slug or id' '--json:print JSON' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'workspace exec logs')
      helmr_words=()
      helmr_flags=('--project:project, by slug or id' '-p:project, by slug or id' '--env:environment, by slug or id' '-e:environment, by slug or id' '--cursor:only bytes behind this offset, of both streams' '--follow:go on until the command has ended' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'workspace exec wait')
      helmr_words=()
      helmr_flags=('--project:project, by slug or id' '-p:project, by slug or id' '--env:environment, by slug or id' '-e:environment, by slug or id' '--json:print JSON' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'workspace shell')
      helmr_words=()
      helmr_flags=('--project:project, by slug or id' '-p:project, by slug or id' '--env:environment, by slug or id' '-e:environment, by slug or id' '--cwd:working directory; the workspace without it' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'workspace pty')
      helmr_words=('create:start a terminal in a workspace' 'connect:attach to a terminal of a workspace' 'close:close a terminal of a workspace')
      helmr_flags=('--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'workspace pty create')
      helmr_words=()
      helmr_flags=('--project:project, by slug or id' '-p:project, by slug or id' '--env:environment, by slug or id' '-e:environment, by slug or id' '--json:print JSON' '--cwd:working directory; the workspace without it' '--cols:columns; 80 without it' '--rows:rows; 24 without it' '--idempotency-key:a repeated create with this key gives the same terminal' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'workspace pty connect')
      helmr_words=()
      helmr_flags=('--project:project, by slug or id' '-p:project, by slug or id' '--env:environment, by slug or id' '-e:environment, by slug or id' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'workspace pty close')
      helmr_words=()
      helmr_flags=('--project:project, by slug or id' '-p:project, by slug or id' '--env:environment, by slug or id' '-e:environment, by slug or id' '--json:print JSON' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'workspace files')
      helmr_words=()
      helmr_flags=('--project:project, by slug or id' '-p:project, by slug or id' '--env:environment, by slug or id' '-e:environment, by slug or id' '--json:print JSON' '--version:id of a version; default: the current one' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'workspace cp')
      helmr_words=()
      helmr_flags=('--project:project, by slug or id' '-p:project, by slug or id' '--env:environment, by slug or id' '-e:environment, by slug or id' '--version:id of a version; default: the current one' '--upload:copy from here into the workspace' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'workspace versions')
      helmr_words=()
      helmr_flags=('--project:project, by slug or id' '-p:project, by slug or id' '--env:environment, by slug or id' '-e:environment, by slug or id' '--json:print JSON' '--kind:user or system' '--limit:at most so many' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'workspace diff')
      helmr_words=()
      helmr_flags=('--project:project, by slug or id' '-p:project, by slug or id' '--env:environment, by slug or id' '-e:environment, by slug or id' '--json:print JSON' '--from:version to begin with; default: the one before' '--from-workspace:workspace of --from, when it is another one' '--to:version to end with; default: the current one' '--patch:show text files as unified diffs' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'workspace capture')
      helmr_words=()
      helmr_flags=('--project:project, by slug or id' '-p:project, by slug or id' '--env:environment, by slug or id' '-e:environment, by slug or id' '--json:print JSON' '--expect:refuse when the current version is another one' '--message:what the versions list says about it' '--idempotency-key:repeating the command with this key makes no second version' '--idempotency-key-ttl:how long the key is remembered, such as 24h' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'workspace fork')
      helmr_words=()
      helmr_flags=('--project:project, by slug or id' '-p:project, by slug or id' '--env:environment, by slug or id' '-e:environment, by slug or id' '--json:print JSON' '--version:id of a version; default: the current one' '--external-id:an id of your own, unique in the environment' '--metadata-json:metadata, an object' '--tag:tag of the workspace' '--idempotency-key:a repeated fork with this key gives the same workspace' '--idempotency-key-ttl:how long the key is remembered, such as 24h' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'workspace restore')
      helmr_words=()
      helmr_flags=('--project:project, by slug or id' '-p:project, by slug or id' '--env:environment, by slug or id' '-e:environment, by slug or id' '--json:print JSON' '--expect:refuse when the current version is another one' '--message:what the versions list says about it' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'workspace port')
      helmr_words=()
      helmr_flags=('--project:project, by slug or id' '-p:project, by slug or id' '--env:environment, by slug or id' '-e:environment, by slug or id' '--json:print JSON' '--local:local port; the same without it, 0 for any' '--preview:print a preview URL that is valid for so long' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'project')
      helmr_words=('list:list projects' 'get:show a project and its environments' 'create:create a project with the environments production and staging' 'update:rename a project' 'delete:delete a project with everything in it')
      helmr_flags=('--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'project list')
      helmr_words=()
      helmr_flags=('--json:print JSON' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'project get')
      helmr_words=()
      helmr_flags=('--json:print JSON' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'project create')
      helmr_words=()
      helmr_flags=('--slug:its slug; made from the name without it' '--json:print JSON' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'project update')
      helmr_words=()
      helmr_flags=('--name:its new name' '--slug:its new slug' '--json:print JSON' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'project delete')
      helmr_words=()
      helmr_flags=('--yes:do it without asking; needed where nobody can be asked' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'env')
      helmr_words=('list:list the environments of a project' 'get:show an environment' 'create:create an environment' 'update:change name, slug or colour of an environment' 'delete:delete an environment with everything in it')
      helmr_flags=('--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'env list')
      helmr_words=()
      helmr_flags=('--project:slug or id of the project' '--json:print JSON' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'env get')
      helmr_words=()
      helmr_flags=('--project:slug or id of the project' '--json:print JSON' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'env create')
      helmr_words=()
      helmr_flags=('--project:slug or id of the project' '--slug:its slug; made from the name without it' '--color:its colour in the console; made from the slug without it' '--json:print JSON' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'env update')
      helmr_words=()
      helmr_flags=('--project:slug or id of the project' '--name:its new name' '--slug:its new slug' '--color:its new colour in the console' '--json:print JSON' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'env delete')
      helmr_words=()
      helmr_flags=('--project:slug or id of the project' '--yes:do it without asking; needed where nobody can be asked' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'secret')
      helmr_words=('list:list the names of secrets' 'get:show a secret, without its value' 'set:create or replace a secret' 'delete:delete a secret')
      helmr_flags=('--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'secret list')
      helmr_words=()
      helmr_flags=('--project:project, by slug or id' '-p:project, by slug or id' '--env:environment, by slug or id' '-e:environment, by slug or id' '--json:print JSON' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'secret get')
      helmr_words=()
      helmr_flags=('--project:project, by slug or id' '-p:project, by slug or id' '--env:environment, by slug or id' '-e:environment, by slug or id' '--json:print JSON' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'secret set')
      helmr_words=()
      helmr_flags=('--project:project, by slug or id' '-p:project, by slug or id' '--env:environment, by slug or id' '-e:environment, by slug or id' '--json:print JSON' '--value:its value, as a flag' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'secret delete')
      helmr_words=()
      helmr_flags=('--project:project, by slug or id' '-p:project, by slug or id' '--env:environment, by slug or id' '-e:environment, by slug or id' '--yes:do it without asking; needed where nobody can be asked' '--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
    'completion')
      helmr_words=('bash:a script for bash' 'zsh:a script for zsh' 'fish:a script for fish')
      helmr_flags=('--api-url:base URL of the Helmr server' '-a:base URL of the Helmr server' '--help:show help' '-h:show help')
      ;;
  esac
}

if [[ "$funcstack[1]" == _helmr ]]; then
  _helmr "$@"
else
  compdef _helmr helmr
fi
