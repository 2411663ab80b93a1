#!/bin/bash
# PBS: qsub -v CHAIN=chain.yaml cluster-configs/pbs.sh      (from the checkout, built on a node of the same kind)
#
#PBS -N retort
# Two nodes of 16 cores, one rank per core. Few ranks with threads: mpiprocs=2:ompthreads=8.
#PBS -l select=2:ncpus=16:mpiprocs=16:ompthreads=1
#PBS -l place=scatter:excl
#PBS -l walltime=04:00:00
#PBS -j oe
set -uo pipefail
cd -- "${PBS_O_WORKDIR:?this is a job script: qsub -v CHAIN=chain.yaml cluster-configs/pbs.sh}"
chain=${CHAIN:?which chain file? qsub -v CHAIN=chain.yaml cluster-configs/pbs.sh}
threads=${OMP_NUM_THREADS:-1}
export OMP_NUM_THREADS=$threads OPENBLAS_NUM_THREADS=$threads
if [ "$threads" -eq 1 ]; then bind=core; else bind=none; fi

# PBS_NODEFILE names a node once for each of its ranks. An Open MPI with PBS support reads it itself; Debian's has none,
# so it needs --hostfile and starts the ranks of other nodes over ssh.
# InfiniBand, if UCX is switched off by default (Debian, Ubuntu): in place of the two "--mca" lines
#   --mca pml ucx --mca osc ucx -x UCX_NET_DEVICES=mlx5_0:1
mpirun --hostfile "$PBS_NODEFILE" --bind-to "$bind" \
  --mca pml ob1 --mca btl vader,tcp,self \
  --mca btl_tcp_if_include 10.0.0.0/24 --mca oob_tcp_if_include 10.0.0.0/24 \
  --mca odls_base_sigkill_timeout 60 \
  -x OMP_NUM_THREADS -x OPENBLAS_NUM_THREADS \
  .build/release/retort run "$chain" --log-format plain
# 75: saved and stopped on request; submit the same job again to resume.
exit $?
