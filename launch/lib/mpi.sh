# The flags of mpirun on one machine. Sourced after common.sh.
# shellcheck shell=bash

# The threads that the user has set; exported, so that called scripts can distinguish them from ours.
export retort_wished_openblas="${retort_wished_openblas-${OPENBLAS_NUM_THREADS:-}}"
export retort_wished_omp="${retort_wished_omp-${OMP_NUM_THREADS:-}}"

# local_mpirun_flags RANKS: sets the array mpirun_flags and exports variables for the ranks.
local_mpirun_flags() {
  local ranks=$1 version
  version=$(mpirun --version 2>/dev/null | sed -n 's/.*) \([0-9]*\)\..*/\1/p' | head -n 1)
  # No binding: a single rank would be bound to core 0, and so would that of the next job on this machine.
  mpirun_flags=(-n "$ranks" --bind-to none --use-hwthread-cpus --mca pml ob1)
  # Shared memory between ranks with two copies, since containers forbid the system call for a single copy.
  if [ "${version:-4}" -ge 5 ]; then
    mpirun_flags+=(--mca btl sm,self --mca smsc ^cma,knem,xpmem)
  else
    mpirun_flags+=(--mca btl vader,self --mca btl_vader_single_copy_mechanism none)
  fi
  if [ "$ranks" -gt "$(cores)" ]; then
    # With more ranks than cores a waiting rank must yield its core.
    mpirun_flags+=(--oversubscribe --mca mpi_yield_when_idle 1)
  fi
  if [ "$(id -u)" -eq 0 ]; then export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1; fi
  # The ranks divide the cores; a library that used all of them in each rank would be slower. Computed for every call
  # from the user's settings, not from what the previous call has exported.
  local share=$(($(cores) / ranks))
  if [ "$share" -lt 1 ]; then share=1; fi
  export OPENBLAS_NUM_THREADS="${retort_wished_openblas:-$share}" OMP_NUM_THREADS="${retort_wished_omp:-$share}"
}
