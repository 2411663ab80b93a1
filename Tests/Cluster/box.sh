# A cluster in a box: hosts that are namespaces of this machine, with wires between them. Sourced by bash scripts, which
# have set $retort_root (launch/lib/common.sh). README.md has the picture.
# shellcheck shell=bash disable=SC2054,SC2154  # mpirun's lists have commas; common.sh sets retort_root
#
#   box_make HOSTS [own=DIRECTORY]... [keep=DIRECTORY]...
#                                        makes the hosts $(box_name 1), $(box_name 2), ...; 1 to 4 of them
#   box_rate RATE                        limits every wire in both directions, for example to 1gbit
#   box_enter K COMMAND...               runs a command on host K, in the current directory
#   box_mpirun_flags RANKS [K...]        sets the array mpirun_flags: RANKS ranks on each host, or on hosts K...
#   box_mpirun COMMAND...                box_enter and mpirun with these flags, from the first of their hosts
#   box_wire K up|down                   plugs in the wire of host K, or cuts it
#   box_lose K, box_restore K            loses host K with all its processes, and starts it again with its disk
#   box_remove                           removes everything; also at the end of the script
#
# Each host has a network, a name, System V and POSIX shared memory, /tmp and /etc/hosts of its own. The rest of the
# file system is shared, as by NFS; own=DIRECTORY gives each host its own copy of a directory instead. Of /tmp the hosts
# share the current directory, $work, the checkout, and keep=DIRECTORY. Nothing outside
# the namespaces changes: no interface, no name of a network namespace, no file besides $box. So any number of boxes
# can exist at once, and no packet leaves them. A host ends by itself after RETORT_BOX_SECONDS (default 3600).

box="" box_hosts=0 box_switch="" box_limit="" box_own=() box_keep=() box_init=() box_running=() mpirun_flags=()

# box_name K: the name of a host. It has the process id of the script, so that two boxes never share a name.
box_name() { echo "box$$-$1"; }

# box_missing: prints why no box can be made here, or nothing.
box_missing() {
  local command
  for command in ip tc unshare nsenter mount mpirun; do
    if ! command -v "$command" >/dev/null; then
      echo "$command is not installed"
      return
    fi
  done
  if [ "$(id -u)" -ne 0 ]; then echo "network namespaces need root"; return; fi
  # shellcheck disable=SC2016  # expanded by the inner shell
  if ! unshare --net --uts --ipc --mount --propagation private sh -c 'ip link add switch type bridge && ip link set lo up &&
    ip link add wire1 type veth peer name eth0 && ip link set wire1 master switch && mount -t tmpfs box /dev/shm &&
    tc qdisc add dev eth0 root tbf rate 1gbit burst 256kb latency 50ms' >/dev/null 2>&1; then
    echo "namespaces, virtual wires or mounts are not permitted here"
  fi
}

# need_box: ends a check as skipped if no box can be made here.
need_box() {
  local reason
  reason=$(box_missing)
  if [ -n "$reason" ]; then echo "SKIP $reason"; exit 77; fi
}

box_make() {
  local k option
  box_hosts=$1 box_own=() box_keep=("${work:-$PWD}" "$PWD" "$retort_root") box_limit=${RETORT_BOX_SECONDS:-3600}
  shift
  case "$box_hosts" in [1-4]) ;; *) refuse "a box has 1 to 4 hosts, not $box_hosts" ;; esac
  for option; do
    case "$option" in
      own=/*) box_own+=("${option#own=}") ;;
      keep=/*) box_keep+=("${option#keep=}") ;;
      *) refuse "unknown option of box_make: $option" "own=DIRECTORY or keep=DIRECTORY, absolute paths" ;;
    esac
  done
  box=$(mktemp -d "$PWD/box.XXXXXX")
  trap box_remove EXIT
  trap 'exit 143' TERM
  trap 'exit 130' INT
  printf '127.0.0.1 localhost\n' >"$box/hosts"
  for ((k = 1; k <= box_hosts; k++)); do printf '10.77.0.%d %s\n' "$k" "$(box_name "$k")" >>"$box/hosts"; done
  # The stand-in for ssh lies in the box, where it finds the hosts. Like ssh it passes no variables on.
  cat >"$box/agent" <<'AGENT'
#!/bin/sh
# agent [OPTIONS] HOST COMMAND...: runs a command on a host of this box, as ssh would. This process stays on its own host:
# when the other one is lost, it waits for an answer as long as its caller lives.
while [ "${1#-}" != "$1" ]; do shift; done
host=$1
shift
init=$(cat "${0%/*}/$host.init" 2>/dev/null)
if [ -z "$init" ] || [ ! -d "/proc/$init" ]; then
  echo "agent: connect to host $host: No route to host" >&2
  exit 255
fi
nsenter --target "$init" --net --uts --ipc --mount -- env -i PATH="$PATH" HOME="$HOME" TMPDIR=/tmp \
  OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 sh -c "cd && $*"
code=$?
if [ -d "/proc/$init" ] && [ "$(cat "${0%/*}/$host.lost" 2>/dev/null)" != "$init" ]; then exit "$code"; fi
while kill -0 "$PPID" 2>/dev/null; do sleep 0.2; done
AGENT
  chmod +x "$box/agent"
  unshare --net sleep "$box_limit" &
  box_switch=$!
  box_wait "the switch" box_separate "$box_switch"
  nsenter --target "$box_switch" --net ip link add switch type bridge
  nsenter --target "$box_switch" --net ip link set switch up
  for ((k = 1; k <= box_hosts; k++)); do box_start "$k"; done
}

# box_separate PID: whether the process has entered a network of its own.
box_separate() { [ -e "/proc/$1/ns/net" ] && ! [ "/proc/$1/ns/net" -ef /proc/self/ns/net ]; }

# box_wait WHAT CONDITION...: waits at most 20 seconds for a command to succeed.
box_wait() {
  local what=$1 turn
  shift
  for ((turn = 0; turn < 400; turn++)); do
    if "$@"; then return; fi
    sleep 0.05
  done
  say "$what did not happen within 20 seconds"
  exit 1
}

# box_start K: starts a host: its namespaces, its mounts and its wire.
box_start() {
  local k=$1 name path keep=()
  name=$(box_name "$k")
  mkdir -p "$box/$name/tmp"
  chmod 1777 "$box/$name/tmp"
  for path in ${box_own[@]+"${box_own[@]}"}; do
    if [ ! -d "$box/$name/own$path" ]; then
      mkdir -p "$box/$name/own$path"
      cp -a "$path/." "$box/$name/own$path"
    fi
  done
  # Directories below /tmp that stay visible under the host's own /tmp.
  for path in "${box_keep[@]}"; do
    case "$path" in /tmp/*) keep+=("$path") ;; esac
  done
  rm -f "$box/$name.ready"
  # shellcheck disable=SC2016  # expanded by the host's shell
  unshare --net --uts --ipc --mount --propagation private bash -c '
    set -eu
    name=$1 box=$2 limit=$3 kept=$4
    shift 4
    hostname "$name"
    mount -t tmpfs box /dev/shm
    mount --bind "$box/hosts" /etc/hosts
    # Opened before /tmp is covered, since they lie below it.
    exec {own}<"$box/$name"
    descriptors=()
    for path in "${@:1:kept}"; do exec {descriptor}<"$path"; descriptors+=("$descriptor"); done
    mount --bind "$box/$name/tmp" /tmp
    for path in "${@:1:kept}"; do
      mkdir -p "$path"
      mount --no-canonicalize --rbind "/proc/self/fd/${descriptors[0]}" "$path"
      descriptors=("${descriptors[@]:1}")
    done
    shift "$kept"
    for path; do mount --no-canonicalize --bind "/proc/self/fd/$own/own$path" "$path"; done
    ip link set lo up
    exec {own}<&-
    touch "$box/$name.ready"
    exec sleep "$limit"' bash "$name" "$box" "$box_limit" "${#keep[@]}" ${keep[@]+"${keep[@]}"} \
    ${box_own[@]+"${box_own[@]}"} </dev/null &
  box_init[k]=$!
  box_wait "the start of host $name" [ -e "$box/$name.ready" ]
  echo "${box_init[k]}" >"$box/$name.init"
  nsenter --target "$box_switch" --net ip link add "wire$k" type veth peer name eth0 netns "${box_init[k]}"
  nsenter --target "$box_switch" --net ip link set "wire$k" master switch up
  nsenter --target "${box_init[k]}" --net ip addr add "10.77.0.$k/24" dev eth0
  nsenter --target "${box_init[k]}" --net ip link set eth0 up
}

box_rate() {
  local k
  for ((k = 1; k <= box_hosts; k++)); do
    nsenter --target "${box_init[k]}" --net tc qdisc replace dev eth0 root tbf rate "$1" burst 256kb latency 50ms
    nsenter --target "$box_switch" --net tc qdisc replace dev "wire$k" root tbf rate "$1" burst 256kb latency 50ms
  done
}

# The directory is entered on the host: the host may have its own copy of it.
box_enter() {
  local k=$1
  shift
  # shellcheck disable=SC2016  # expanded by the host's shell
  nsenter --target "${box_init[k]}" --net --uts --ipc --mount -- \
    env TMPDIR=/tmp sh -c 'cd -- "$1" && shift && exec "$@"' sh "$PWD" "$@"
}

box_mpirun_flags() {
  local ranks=$1 list="" k version
  shift
  if [ $# -eq 0 ]; then
    box_running=()
    for ((k = 1; k <= box_hosts; k++)); do box_running+=("$k"); done
  else
    box_running=("$@")
  fi
  for k in "${box_running[@]}"; do list+=",$(box_name "$k"):$ranks"; done
  version=$(mpirun --version 2>/dev/null | sed -n 's/.*) \([0-9]*\)\..*/\1/p' | head -n 1)
  mpirun_flags=(-n $((ranks * ${#box_running[@]})) -H "${list#,}" --bind-to none --mca plm_rsh_agent "$box/agent"
    --mca pml ob1 --mca oob_tcp_if_include eth0 --mca btl_tcp_if_include eth0 --mca mpi_yield_when_idle 1)
  if [ "${version:-4}" -ge 5 ]; then
    mpirun_flags+=(--mca btl sm,tcp,self --mca smsc ^cma,knem,xpmem)
  else
    mpirun_flags+=(--mca btl vader,tcp,self --mca btl_vader_single_copy_mechanism none)
  fi
  # Each host has its own cache. Both cores are shared by all hosts, so a rank has one thread.
  mpirun_flags+=(-x TMPDIR=/tmp -x RETORT_CACHE=/tmp/cache -x OMP_NUM_THREADS=1 -x OPENBLAS_NUM_THREADS=1)
  for k in RETORT_WATCHDOG_SECONDS OPENBLAS_CORETYPE; do if [ -n "${!k:-}" ]; then mpirun_flags+=(-x "$k"); fi; done
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
}

box_mpirun() { box_enter "${box_running[0]}" mpirun "${mpirun_flags[@]}" "$@"; }

box_wire() { nsenter --target "$box_switch" --net ip link set "wire$1" "$2"; }

# box_processes K: the processes on a host besides its first.
box_processes() {
  local process
  for process in /proc/[0-9]*; do
    if [ "$process/ns/net" -ef "/proc/${box_init[$1]}/ns/net" ] && [ "${process#/proc/}" != "${box_init[$1]}" ]; then
      echo "${process#/proc/}"
    fi
  done
}

# The wire is cut first: a host that loses its power says nothing to the others.
box_lose() {
  local turn process
  # 0 by name: in the trap at the end a bare return has the script's own exit code.
  if [ -z "${box_init[$1]:-}" ]; then return 0; fi
  box_wire "$1" down 2>/dev/null || true
  echo "${box_init[$1]}" >"$box/$(box_name "$1").lost"
  for ((turn = 0; turn < 20; turn++)); do
    process=$(box_processes "$1")
    if [ -z "$process" ]; then break; fi
    # shellcheck disable=SC2086  # a list of process ids
    kill -KILL $process 2>/dev/null || true
    sleep 0.05
  done
  kill -KILL "${box_init[$1]}" 2>/dev/null || true
  wait "${box_init[$1]}" 2>/dev/null || true
  box_init[$1]=""
  rm -f "$box/$(box_name "$1").init"
  # The interface goes with the host's network, which the kernel removes a moment later.
  nsenter --target "$box_switch" --net ip link del "wire$1" 2>/dev/null || true
}

box_restore() { box_start "$1"; }

box_remove() {
  local k
  if [ -z "$box" ]; then return 0; fi
  for ((k = 1; k <= box_hosts; k++)); do box_lose "$k"; done
  kill -KILL "$box_switch" 2>/dev/null || true
  wait "$box_switch" 2>/dev/null || true
  rm -rf -- "$box"
  box=""
}
