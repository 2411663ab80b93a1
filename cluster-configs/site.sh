# What differs between sites, for all job scripts of this directory. Sourced by them, never run.
# shellcheck shell=bash disable=SC2034,SC2119,SC2120,SC2317  # scripts use the variables, a trap ask
#
# Set a value here for the whole site, or in the environment for one job. An empty value is found out.

# The program, on every node under this path, and mpirun.
program=${RETORT_PROGRAM:-.build/release/retort}
mpirun=${RETORT_MPIRUN:-mpirun}
# mpirun | srun (Slurm built with PMIx): what starts the ranks.
launcher=${RETORT_LAUNCHER:-mpirun}
# An Apptainer image (retort.sif) that contains the program; its Open MPI has the series of the one outside. Binds are
# directories besides the current one and the home directory that ranks read and write: /scratch,/data.
container=${RETORT_CONTAINER:-}
binds=${RETORT_BINDS:-}
# one | two: how often a message between ranks of a node is copied. Empty: two in containers, which mostly forbid the
# system call that copies once, otherwise one.
copies=${RETORT_COPIES:-}
# Threads of a rank. Empty: what the scheduler gives a rank, otherwise 1.
threads=${RETORT_THREADS:-}
# The network between the nodes: interfaces, of which the first that this node has is taken (ib0,bond0,eth0), or an
# address range (10.0.0.0/24). Empty: the network through which this node reaches the other nodes.
network=${RETORT_NETWORK:-}
# tcp | ucx. Empty: ucx if this node has an active InfiniBand port and Open MPI has UCX, otherwise tcp. UCX takes the
# devices that it considers best, or these (mlx5_0:1).
transport=${RETORT_TRANSPORT:-}
ucx_devices=${RETORT_UCX_DEVICES:-}
# core | none: whether a rank with one thread is bound to its core. Two jobs that share a machine must not bind, nor must a
# pod, which sees all cores of its machine but may use only some.
bind=${RETORT_BIND:-core}
# Seconds after which a job asks its ranks to save and stop, for schedulers that cannot signal in time. Empty: never.
stop_after=${RETORT_STOP_AFTER:-}
# Seconds that mpirun, if it gets SIGTERM itself, gives the ranks to save before it kills them. mpirun also waits that
# long at the end of each job whose ranks return another code than 0. Empty: 2, enough where only the script is signalled.
grace=${RETORT_GRACE:-}

site_say() { printf '%s\n' "retort job: $*" >&2; }
site_refuse() { site_say "$@"; exit 2; }

# site_range INTERFACE: the address range of its first IPv4 address, as interfaces have other names on other nodes.
site_range() { ip -o -4 addr show dev "$1" scope global 2>/dev/null | awk '{ print $4; exit }'; }

# site_network NODE...: prints the network between these nodes, or nothing if it cannot be found out.
site_network() {
  local candidate node address here found=""
  if [ -n "$network" ]; then
    # shellcheck disable=SC2086  # a list, split on purpose
    for candidate in ${network//,/ }; do
      case "$candidate" in */*) found=$candidate ;; *) found=$(site_range "$candidate") ;; esac
      if [ -n "$found" ]; then echo "$found"; return; fi
    done
    site_refuse "this node, $(hostname), has none of the interfaces $network: set RETORT_NETWORK to one of" \
      "$(ip -o -4 addr show scope global 2>/dev/null | awk '{ printf "%s (%s) ", $2, $4 }')"
  fi
  here=$(hostname)
  for node; do
    if [ "${node%%.*}" = "${here%%.*}" ]; then continue; fi
    address=$(getent ahostsv4 "$node" 2>/dev/null | awk '{ print $1; exit }')
    if [ -z "$address" ]; then continue; fi
    found=$(site_range "$(ip -o route get "$address" 2>/dev/null | sed -n 's/.* dev \([^ ]*\).*/\1/p')")
    if [ -n "$found" ]; then echo "$found"; return; fi
  done
}

# site_transport: prints tcp or ucx.
site_transport() {
  if [ -n "$transport" ]; then echo "$transport"; return; fi
  if cat /sys/class/infiniband/*/ports/*/link_layer 2>/dev/null | grep -qx InfiniBand &&
    grep -qs ACTIVE /sys/class/infiniband/*/ports/*/state && command -v ompi_info >/dev/null &&
    ompi_info --parsable 2>/dev/null | grep -q '^mca:pml:ucx:'; then
    echo ucx
  else
    echo tcp
  fi
}

# site_parameters NODE...: sets the array parameters: names and values of Open MPI's parameters for these nodes.
site_parameters() {
  local range="" several=no kind node version
  for node; do if [ "$node" != "$1" ]; then several=yes; fi; done
  version=$("$mpirun" --version 2>/dev/null | sed -n 's/.*) \([0-9]*\)\..*/\1/p' | head -n 1)
  # Shared memory between the ranks of a node, by the name that this Open MPI has for it.
  if [ "${version:-4}" -ge 5 ]; then shared=sm runtime=--prtemca; else shared=vader runtime=--mca; fi
  if [ -z "$copies" ] && { [ -n "$container" ] || [ -e /.dockerenv ] || [ -n "${KUBERNETES_SERVICE_HOST:-}" ]; }; then
    copies=two
  fi
  if [ "$several" = yes ]; then range=$(site_network "$@") || exit 2; fi
  kind=$(site_transport)
  case "$kind" in
    ucx)
      # By name, since Debian and Ubuntu switch UCX off by default.
      parameters=(pml ucx osc ucx)
      if [ -n "$ucx_devices" ]; then export UCX_NET_DEVICES=$ucx_devices; fi
      ;;
    tcp)
      parameters=(pml ob1 btl "$shared,tcp,self")
      if [ "$several" = no ]; then parameters=(pml ob1 btl "$shared,self"); fi
      if [ -n "$range" ]; then parameters+=(btl_tcp_if_include "$range"); fi
      ;;
    *) site_refuse "RETORT_TRANSPORT is $kind, but must be tcp or ucx" ;;
  esac
  if [ "$kind" = tcp ] && [ "$copies" = two ]; then
    if [ "$shared" = vader ]; then
      parameters+=(btl_vader_single_copy_mechanism none)
    else
      parameters+=(smsc "^cma,knem,xpmem")
    fi
  fi
  # Of mpirun's own daemons.
  runtime_parameters=()
  if [ -n "$grace" ]; then runtime_parameters+=(odls_base_sigkill_timeout "$grace"); fi
  if [ -n "$range" ]; then runtime_parameters+=(oob_tcp_if_include "$range"); fi
  if [ "$several" = yes ] && [ -z "$range" ] && [ "$kind" = tcp ]; then
    site_say "the network between the nodes is unknown, so Open MPI tries all: set RETORT_NETWORK"
  fi
}

# site_command ARGUMENTS...: sets the array ranks_command: the program with its arguments, in the container if there is
# one.
site_command() {
  ranks_command=("$program" "$@")
  if [ -n "$container" ]; then
    ranks_command=(apptainer exec --bind "$PWD${binds:+,$binds}" "$container" "$program" "$@")
  fi
}

# site_mpirun NODES OPTIONS... -- ARGUMENTS...: sets the array job_command: mpirun with the site's flags and these
# options; NODES is a list of names with spaces.
site_mpirun() {
  local nodes=$1 options=() n
  shift
  while [ "$1" != -- ]; do options+=("$1"); shift; done
  shift
  # shellcheck disable=SC2086  # a list, split on purpose
  site_parameters $nodes
  site_command "$@"
  : "${threads:=1}"
  export OMP_NUM_THREADS=$threads OPENBLAS_NUM_THREADS=$threads
  job_command=("$mpirun" ${options[@]+"${options[@]}"})
  # A rank with one thread stays on its core; one with several may use all of its node's.
  if [ "$threads" -ne 1 ]; then bind=none; fi
  job_command+=(--bind-to "$bind")
  for ((n = 0; n < ${#parameters[@]}; n += 2)); do job_command+=(--mca "${parameters[@]:n:2}"); done
  for ((n = 0; n < ${#runtime_parameters[@]}; n += 2)); do
    job_command+=("$runtime" "${runtime_parameters[@]:n:2}")
  done
  # What a remote shell would not pass on.
  for n in OMP_NUM_THREADS OPENBLAS_NUM_THREADS UCX_NET_DEVICES HF_HOME HF_HUB_CACHE RETORT_CACHE RETORT_MODELS \
    RETORT_WATCHDOG_SECONDS RETORT_ISA RETORT_MPI_CHUNK_BYTES OPENBLAS_CORETYPE ONEDNN_MAX_CPU_ISA; do
    if [ -n "${!n:-}" ]; then job_command+=(-x "$n"); fi
  done
  job_command+=("${ranks_command[@]}")
}

# site_srun OPTIONS... -- ARGUMENTS...: sets job_command: srun with these options. Open MPI's parameters go through the
# environment.
site_srun() {
  local options=() n
  while [ "$1" != -- ]; do options+=("$1"); shift; done
  shift
  site_command "$@"
  : "${threads:=1}"
  export OMP_NUM_THREADS=$threads OPENBLAS_NUM_THREADS=$threads
  for ((n = 0; n < ${#parameters[@]}; n += 2)); do export "OMPI_MCA_${parameters[n]}=${parameters[n + 1]}"; done
  job_command=(srun ${options[@]+"${options[@]}"} "${ranks_command[@]}")
}

# site_run [COMMAND...]: runs job_command, below this command if there is one, and returns its exit code. USR1, TERM and
# INT, or the end of stop_after seconds, ask the ranks once to save and stop, through SIGUSR1, which mpirun and srun
# forward; $asked then is the signal.
site_run() {
  local job timer="" code=0
  asked=no
  "$@" "${job_command[@]}" &
  job=$!
  ask() {
    if [ "$asked" != no ]; then return; fi
    asked=$1
    site_say "asked to stop: the ranks save"
    kill -USR1 "$job" 2>/dev/null
  }
  trap 'ask USR1' USR1
  trap 'ask TERM' TERM INT
  if [ -n "$stop_after" ]; then
    (sleep "$stop_after" && kill -USR1 "$$") &
    timer=$!
  fi
  wait "$job" || code=$?
  # A signal ends a wait early while the job continues.
  while kill -0 "$job" 2>/dev/null; do
    code=0
    wait "$job" || code=$?
  done
  if [ -n "$timer" ]; then kill "$timer" 2>/dev/null; fi
  trap - USR1 TERM INT
  return "$code"
}
