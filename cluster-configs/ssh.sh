#!/usr/bin/env bash
# Several machines without a scheduler: mpirun starts the ranks over ssh.
#
#   cluster-configs/ssh.sh chain.yaml [HOSTFILE]
#
# Each machine needs this checkout, built, at the same path; the same Open MPI; the data and the models at the same
# paths (a shared directory provides all of it); and ssh without a password from the machine that runs this script.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
chain=${1:?which chain file? cluster-configs/ssh.sh chain.yaml [HOSTFILE]}
hosts=${2:-cluster-configs/hosts.txt}

# The network that all machines share: its name or, as here, its address, since names differ between machines. Without
# this setting Open MPI tries every network that it finds, also virtual ones of containers, and waits for answers.
network=${RETORT_NETWORK:-10.0.0.0/24}

# One rank per core, one thread per rank. For few ranks with several threads: fewer slots in the host file, the threads
# in RETORT_THREADS, and --bind-to none so that a rank's threads can use all of its cores.
threads=${RETORT_THREADS:-1}
if [ "$threads" -eq 1 ]; then bind=core; else bind=none; fi

exec mpirun --hostfile "$hosts" --bind-to "$bind" \
  --mca pml ob1 --mca btl vader,tcp,self \
  --mca btl_tcp_if_include "$network" --mca oob_tcp_if_include "$network" \
  --mca odls_base_sigkill_timeout 60 \
  -x OMP_NUM_THREADS="$threads" -x OPENBLAS_NUM_THREADS="$threads" \
  .build/release/retort run "$chain"

# InfiniBand instead of TCP: Debian and Ubuntu ship UCX switched off, so request it by name, in place of the two
# lines "--mca pml ob1 ..." and "--mca btl_tcp_if_include ...":
#   --mca pml ucx --mca osc ucx --mca oob_tcp_if_include "$network" -x UCX_NET_DEVICES=mlx5_0:1
