# A real Slurm on the hosts of a box, which ends with the box. Sourced after check.sh and Tests/Cluster/box.sh.
# shellcheck shell=bash disable=SC2154  # check.sh and box.sh set $work, $box and $box_hosts
#
# The hosts have networks of their own, so Slurm's ports are free. Keys, sockets, state and logs are in $work/slurm.

# need_slurm: ends a check as skipped if there is no Slurm.
need_slurm() {
  local name
  for name in munged slurmctld slurmd sbatch; do
    if ! command -v "$name" >/dev/null; then echo "SKIP $name is missing (packages slurm-wlm, munge)"; exit 77; fi
  done
}

# slurm_start CPUS: starts munge, a controller on host 1 and a node with CPUS cores on each host of the box.
slurm_start() {
  local k nodes=""
  slurm=$work/slurm
  mkdir -p "$slurm/state"
  chmod 755 "$slurm"
  head -c 1024 /dev/urandom >"$slurm/munge.key"
  chmod 400 "$slurm/munge.key"
  for ((k = 1; k <= box_hosts; k++)); do nodes+="NodeName=$(box_name "$k") CPUs=$1 RealMemory=2000 State=UNKNOWN"$'\n'; done
  # A requeued job may start once the credentials of its last start have expired: after 5 seconds here, the least that Slurm takes.
  cat >"$slurm/slurm.conf" <<CONF
ClusterName=box
SlurmctldHost=$(box_name 1)
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket=$slurm/munge.socket,cred_expire=5
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$slurm/state
SlurmdSpoolDir=$slurm/spool.%n
SlurmctldLogFile=$slurm/slurmctld.log
SlurmdLogFile=$slurm/slurmd.%n.log
SlurmctldPidFile=$slurm/slurmctld.pid
SlurmdPidFile=$slurm/slurmd.%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=2,sched_interval=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
MessageTimeout=100
KillWait=5
MpiDefault=none
JobCompType=jobcomp/none
AccountingStorageType=accounting_storage/none
${nodes}PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=EXCLUSIVE
CONF
  export SLURM_CONF=$slurm/slurm.conf
  box_enter 1 munged --force --key-file="$slurm/munge.key" --socket="$slurm/munge.socket" --seed-file="$slurm/seed" \
    --pid-file="$slurm/munged.pid" --log-file="$slurm/munged.log" </dev/null >"$slurm/munged.out" 2>&1 || slurm_fails "munged"
  box_enter 1 slurmctld </dev/null >"$slurm/slurmctld.out" 2>&1 || slurm_fails "slurmctld"
  for ((k = 1; k <= box_hosts; k++)); do
    mkdir -p "$slurm/spool.$(box_name "$k")"
    box_enter "$k" slurmd -N "$(box_name "$k")" </dev/null >"$slurm/slurmd.out" 2>&1 || slurm_fails "slurmd"
  done
  for ((k = 0; k < 100; k++)); do
    if [ "$(box_enter 1 sinfo -h -t idle -o %D 2>/dev/null)" = "$box_hosts" ]; then return; fi
    sleep 0.2
  done
  slurm_fails "Slurm's nodes"
}

slurm_fails() {
  tail -n 15 "$slurm"/*.out "$slurm"/*.log
  fail "$1 did not start"
}

# slurm_state JOB: the state of a job, such as PENDING, RUNNING, COMPLETED; and how often it was started anew.
slurm_state() { box_enter 1 scontrol --oneliner show job "$1" 2>/dev/null | sed -n 's/.*JobState=\([A-Z_]*\) .*/\1/p'; }
slurm_restarts() { box_enter 1 scontrol --oneliner show job "$1" 2>/dev/null | sed -n 's/.* Restarts=\([0-9]*\) .*/\1/p'; }

# slurm_finished JOB SECONDS: waits for the end of a job, which must be COMPLETED.
slurm_finished() {
  local deadline=$((SECONDS + $2)) state=""
  while [ "$SECONDS" -lt "$deadline" ]; do
    state=$(slurm_state "$1")
    case "$state" in
      COMPLETED) return ;;
      FAILED | CANCELLED | TIMEOUT | NODE_FAIL | OUT_OF_MEMORY) break ;;
    esac
    sleep 0.5
  done
  box_enter 1 scontrol show job "$1" || true
  tail -n 30 "$work"/*.log "$slurm"/*.log
  fail "job $1 is $state instead of COMPLETED"
}
