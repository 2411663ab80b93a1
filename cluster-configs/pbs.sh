#!/bin/bash
# PBS: qsub -v CHAIN=chain.yaml cluster-configs/pbs.sh      (from the checkout, built on a node of the same kind)
#
# Other sizes on the command line: qsub -l select=4:ncpus=16:mpiprocs=2:ompthreads=8 -v CHAIN=chain.yaml ...
# Network, transport, container and other values of the site: cluster-configs/site.sh; for one job
#   qsub -v CHAIN=chain.yaml,RETORT_NETWORK=ib0 ...
#
#PBS -N retort
# Two nodes of 16 cores, one rank per core.
#PBS -l select=2:ncpus=16:mpiprocs=16:ompthreads=1
#PBS -l place=scatter:excl
#PBS -l walltime=04:00:00
#PBS -j oe
# shellcheck disable=SC2119,SC2154  # site.sh sets the variables
set -uo pipefail
cd -- "${PBS_O_WORKDIR:?this is a job script: qsub -v CHAIN=chain.yaml cluster-configs/pbs.sh}" || exit 2
chain=${CHAIN:?which chain file? qsub -v CHAIN=chain.yaml cluster-configs/pbs.sh}
if [ ! -e cluster-configs/site.sh ]; then
  echo "retort job: $PWD has no cluster-configs/site.sh: submit from the checkout" >&2
  exit 2
fi
# shellcheck source=site.sh
. cluster-configs/site.sh
: "${threads:=${OMP_NUM_THREADS:-1}}"
# PBS asks nobody before its time limit, so the job asks its ranks to save and stop after this many seconds: two minutes
# less than the walltime above. And qdel sends SIGTERM to mpirun too.
: "${stop_after:=14280}" "${grace:=20}"
# PBS_NODEFILE names a node once for each of its ranks. An Open MPI with PBS support reads it itself; Debian's has none
# and starts the ranks of other nodes over ssh. The numbers of ranks are on the command line, since mpirun takes a node
# that a host file names once for one with as many ranks as cores.
slots=$(awk 'NF { if (!count[$1]++) order[++n] = $1 }
  END { for (i = 1; i <= n; i++) printf "%s%s:%d", (i > 1 ? "," : ""), order[i], count[order[i]] }' \
  "${PBS_NODEFILE:?PBS did not name the nodes}")
if [ -z "$slots" ]; then site_refuse "PBS_NODEFILE names no node: $PBS_NODEFILE"; fi
nodes=$(awk '!seen[$1]++ { printf "%s ", $1 }' "$PBS_NODEFILE")
site_mpirun "$nodes" -H "$slots" -- run "$chain" --log-format plain
code=0
site_run || code=$?
# 75: saved and stopped on request. Users may not requeue their jobs in PBS.
if [ "$code" -eq 75 ]; then site_say "saved: submit the same job again to resume"; fi
exit "$code"
