import Collectives
import Testing

@Suite struct LaunchEnvironmentTests {
  @Test("without a launcher's variables a process is alone")
  func alone() {
    let launch = LaunchEnvironment(["HOME": "/root"])
    #expect(launch.launcher == .none)
    #expect(launch.rank == 0)
    #expect(launch.size == 1)
  }

  @Test("mpirun of Open MPI is recognised, with rank and size")
  func openMPI() {
    let launch = LaunchEnvironment(["OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "3", "PMIX_RANK": "3"])
    #expect(launch.launcher == .openMPI)
    #expect(launch.rank == 3)
    #expect(launch.size == 4)
  }

  @Test("srun with PMIx is recognised, and its step says how many")
  func pmix() {
    let launch = LaunchEnvironment(["PMIX_RANK": "2", "SLURM_PROCID": "2", "SLURM_STEP_NUM_TASKS": "8"])
    #expect(launch.launcher == .pmix)
    #expect(launch.rank == 2)
    #expect(launch.size == 8)
  }

  @Test("MPICH's protocol is recognised")
  func pmi() {
    let launch = LaunchEnvironment(["PMI_RANK": "1", "PMI_SIZE": "2"])
    #expect(launch.launcher == .pmi)
    #expect(launch.rank == 1)
    #expect(launch.size == 2)
  }

  @Test("tasks of an srun without PMIx are stranded")
  func stranded() {
    let launch = LaunchEnvironment(["SLURM_PROCID": "0", "SLURM_NTASKS": "4", "SLURM_STEP_NUM_TASKS": "4"])
    #expect(launch.launcher == .strandedTasks)
    #expect(launch.rank == 0)
    #expect(launch.size == 4)
    #expect(LaunchEnvironment(["SLURM_PROCID": "1", "SLURM_NTASKS": "4"]).launcher == .strandedTasks)
  }

  @Test("a process that a batch script starts by itself is alone, however many tasks the allocation has")
  func batchScript() {
    #expect(LaunchEnvironment(["SLURM_PROCID": "0", "SLURM_NTASKS": "4", "SLURM_JOB_ID": "7"]).launcher == .none)
    #expect(LaunchEnvironment(["SLURM_NTASKS": "4", "SLURM_JOB_ID": "7"]).launcher == .none)
  }

  @Test("a single task of srun is alone")
  func singleTask() {
    let environment = ["SLURM_PROCID": "0", "SLURM_NTASKS": "1", "SLURM_STEP_NUM_TASKS": "1"]
    #expect(LaunchEnvironment(environment).launcher == .none)
  }

  @Test("under mpirun in an allocation, Slurm's variables, which count mpirun's daemons, are not believed")
  func mpirunInAllocation() {
    let launch = LaunchEnvironment([
      "OMPI_COMM_WORLD_SIZE": "1", "OMPI_COMM_WORLD_RANK": "0", "SLURM_PROCID": "1", "SLURM_NTASKS": "2",
      "SLURM_STEP_NUM_TASKS": "2",
    ])
    #expect(launch.launcher == .openMPI)
    #expect(launch.size == 1)
    #expect(launch.rank == 0)
  }
}
