# How mpirun is called on one machine. Sourced after common.sh.
# shellcheck shell=bash

# Threads that the person asked for; exported, so that scripts called from here know them from ours.
export retort_wished_openblas="${retort_wished_openblas-${OPENBLAS_NUM_THREADS:-}}"
export retort_wished_omp="${retort_wished_omp-${OMP_NUM_THREADS:-}}"

# local_mpirun_flags RANKS: sets the array mpirun_flags and exports what the ranks should see.
local_mpirun_flags() {
  local ranks=$1 version
  version=$(mpirun --version 2>/dev/null | sed -n 's/.*) \([0-9]*\)\..*/\1/p' | head -n 1)
  # No binding: one rank would be pinned to core 0, and so would the rank of the next job on this machine.
  mpirun_flags=(-n "$ranks" --bind-to none --use-hwthread-cpus --mca pml ob1)
  # Shared memory between ranks, copied twice: containers forbid the system call that copies once.
  if [ "${version:-4}" -ge 5 ]; then
    mpirun_flags+=(--mca btl sm,self --mca smsc ^cma,knem,xpmem)
  else
    mpirun_flags+=(--mca btl vader,self --mca btl_vader_single_copy_mechanism none)
  fi
  if [ "$ranks" -gt "$(cores)" ]; then
    # More ranks than cores: a waiting rank must leave its core to one that computes.
    mpirun_flags+=(--oversubscribe --mca mpi_yield_when_idle 1)
  fi
  if [ "$(id -u)" -eq 0 ]; then export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1; fi
  # The ranks share the cores out among themselves; a library that took all of them in each rank would be slower.
  # Worked out for every call, from what the person had set and not from what the call before exported.
  local share=$(($(cores) / ranks))
  if [ "$share" -lt 1 ]; then share=1; fi
  export OPENBLAS_NUM_THREADS="${retort_wished_openblas:-$share}" OMP_NUM_THREADS="${retort_wished_omp:-$share}"
}
