#!/usr/bin/env bash
# Several machines without a scheduler: mpirun starts the ranks over ssh.
#
#   cluster-configs/ssh.sh chain.yaml [HOSTFILE]
#
# Each machine needs this checkout, built, at the same path; the same Open MPI; the data and the models at the same
# paths (a shared directory provides all of it); and ssh without a password from the machine that runs this script. The
# host file (default cluster-configs/hosts.txt) has one line a machine: its name and its number of ranks. Network,
# transport, threads, container: cluster-configs/site.sh. Ctrl-C saves and ends with 75; the same command resumes.
# shellcheck disable=SC2154  # site.sh sets the variables
set -uo pipefail
home=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
# Links stay as they are: they may lead elsewhere on other machines.
chain=$(realpath -s -- "${1:?which chain file? cluster-configs/ssh.sh chain.yaml [HOSTFILE]}")
hosts=$(realpath -s -- "${2:-$home/cluster-configs/hosts.txt}")
cd -- "$home" || exit 2
# shellcheck source=site.sh
. cluster-configs/site.sh
if [ ! -r "$hosts" ]; then site_refuse "the host file $hosts cannot be read"; fi
nodes=$(sed 's/#.*//' "$hosts" | awk 'NF { print $1 }' | uniq | tr '\n' ' ')
if [ -z "${nodes// /}" ]; then site_refuse "the host file $hosts names no machine"; fi
site_mpirun "$nodes" --hostfile "$hosts" -- run "$chain"
code=0
# In a session of its own mpirun does not get the terminal's Ctrl-C, on which it would kill the ranks.
site_run setsid || code=$?
if [ "$code" -eq 75 ]; then site_say "saved: run the same command again to resume"; fi
exit "$code"
