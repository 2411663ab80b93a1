/// How this process was started, derived from the environment alone.
package struct LaunchEnvironment: Equatable, Sendable {
  /// What can start a process.
  package enum Launcher: Equatable, Sendable {
    /// Started alone: no MPI.
    case none
    /// Open MPI's mpirun.
    case openMPI
    /// A PMIx server other than mpirun's, such as `srun --mpi=pmix`.
    case pmix
    /// MPICH's protocol (its mpiexec, or srun with pmi2), which Open MPI may not support.
    case pmi
    /// srun started several tasks without a way for them to connect.
    case strandedTasks
  }

  /// What started this process.
  package let launcher: Launcher
  /// The rank of this process among those started together.
  package let rank: Int
  /// The number of processes started together, if known.
  package let size: Int?

  /// Reads the variables that launchers set.
  package init(_ environment: [String: String]) {
    func number(_ name: String) -> Int? { environment[name].flatMap { Int($0) } }
    let slurmRank = number("SLURM_PROCID")
    // The tasks of this srun. In a batch script SLURM_NTASKS alone counts the whole allocation.
    let stepTasks = slurmRank == nil ? nil : number("SLURM_STEP_NUM_TASKS")

    // mpirun's variables come first: in an allocation it starts its daemons with srun, whose variables count daemons.
    if let size = number("OMPI_COMM_WORLD_SIZE") {
      self.init(.openMPI, rank: number("OMPI_COMM_WORLD_RANK") ?? number("PMIX_RANK") ?? 0, size: size)
    } else if let rank = number("PMIX_RANK") {
      self.init(.pmix, rank: rank, size: stepTasks)
    } else if let rank = number("PMI_RANK") {
      self.init(.pmi, rank: rank, size: number("PMI_SIZE") ?? stepTasks)
    } else if let rank = slurmRank, let tasks = stepTasks, tasks > 1 {
      self.init(.strandedTasks, rank: rank, size: tasks)
    } else if let rank = slurmRank, rank > 0, let tasks = number("SLURM_NTASKS"), tasks > 1 {
      // Only a task of a Slurm step has a rank above 0; a batch script always has rank 0.
      self.init(.strandedTasks, rank: rank, size: tasks)
    } else {
      self.init(.none, rank: 0, size: 1)
    }
  }

  private init(_ launcher: Launcher, rank: Int, size: Int?) {
    self.launcher = launcher
    self.rank = rank
    self.size = size
  }
}
