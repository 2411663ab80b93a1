#!/usr/bin/env bash
# Kubernetes with the MPI Operator (https://github.com/kubeflow/mpi-operator): prints the manifest of a job.
#
#   IMAGE=registry.site/retort:1 cluster-configs/kubernetes.sh /data/chain.yaml | kubectl apply -f -
#   kubectl logs -f job/retort-launcher
#
# The image holds this checkout in /opt/retort with the built program, Open MPI, iproute2 and an ssh server: for example
# Debian with openmpi-bin, libopenblas0, libdnnl2, libssl3, iproute2 and openssh-server, and the Swift runtime libraries
# (or a build with --static-swift-stdlib). Launcher and workers use the same image. The claim is a volume that every pod
# can write, mounted as /data: the chain file, the data, the models and the outputs.
set -euo pipefail
chain=${1:?which chain file, as the pods see it? cluster-configs/kubernetes.sh /data/chain.yaml}
# What differs between sites: set these in the environment, or here.
image=${IMAGE:?which image? IMAGE=registry.site/retort:1 cluster-configs/kubernetes.sh $chain}
name=${NAME:-retort}
namespace=${NAMESPACE:-default}
claim=${CLAIM:-retort-data}
workers=${WORKERS:-2}
# Whole cores of a worker, equally many as requested and as a limit, so that ranks keep their cores; and its memory.
cores=${CORES:-16}
memory=${MEMORY:-32Gi}
# Threads of a rank; a worker has CORES / THREADS ranks.
threads=${THREADS:-1}
# The interface of the pods' network. eth0 unless the cluster's network plugin names it otherwise.
network=${NETWORK:-eth0}
# Memory for the messages between the ranks of a pod.
shared_memory=${SHARED_MEMORY:-4Gi}

refuse() { echo "kubernetes.sh: $1" >&2; exit 2; }
for number in workers cores threads; do
  case "${!number}" in
    *[!0-9]* | "" | 0*) refuse "${number^^} must be an integer of 1 or more, not: ${!number}" ;;
  esac
done
if [ $((cores % threads)) -ne 0 ]; then refuse "$cores cores cannot be divided among ranks of $threads threads"; fi
for value in chain image name namespace claim memory network shared_memory; do
  case "${!value}" in
    *[!A-Za-z0-9._:/@-]* | "") refuse "${value^^} may have letters, digits and ._:/@- only, not: ${!value}" ;;
  esac
done

cat <<YAML
apiVersion: kubeflow.org/v2beta1
kind: MPIJob
metadata:
  name: $name
  namespace: $namespace
spec:
  slotsPerWorker: $((cores / threads))
  # Open MPI's host file needs the names of workers that run.
  launcherCreationPolicy: WaitForWorkersReady
  runPolicy:
    cleanPodPolicy: Running
    # A restarted chain resumes: a lost worker costs the optimizer steps since the last checkpoint.
    backoffLimit: 3
  sshAuthMountPath: /root/.ssh
  mpiReplicaSpecs:
    Launcher:
      replicas: 1
      template:
        spec:
          restartPolicy: OnFailure
          # Time to save a checkpoint on a stop request.
          terminationGracePeriodSeconds: 90
          containers:
            - name: launcher
              image: $image
              # The operator writes the host file. The script asks the ranks to save when the pod is stopped.
              command: [/opt/retort/cluster-configs/ssh.sh]
              args: [$chain, /etc/mpi/hostfile]
              env:
                - {name: RETORT_NETWORK, value: $network}
                - {name: RETORT_THREADS, value: "$threads"}
                - {name: RETORT_BIND, value: none}
                - {name: OMPI_ALLOW_RUN_AS_ROOT, value: "1"}
                - {name: OMPI_ALLOW_RUN_AS_ROOT_CONFIRM, value: "1"}
              resources:
                limits: {cpu: "1", memory: 1Gi}
              volumeMounts:
                - {name: data, mountPath: /data}
          volumes:
            - name: data
              persistentVolumeClaim: {claimName: $claim}
    Worker:
      replicas: $workers
      template:
        spec:
          containers:
            - name: worker
              image: $image
              resources:
                requests: {cpu: "$cores", memory: $memory}
                limits: {cpu: "$cores", memory: $memory}
              volumeMounts:
                - {name: data, mountPath: /data}
                - {name: shared-memory, mountPath: /dev/shm}
          volumes:
            - name: data
              persistentVolumeClaim: {claimName: $claim}
            # The default of 64 MiB is too small for many ranks.
            - name: shared-memory
              emptyDir: {medium: Memory, sizeLimit: $shared_memory}
YAML
