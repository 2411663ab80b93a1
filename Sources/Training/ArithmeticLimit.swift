import Collectives
import Tensors

/// What the processors could do at best: the rate of plain matrix products, measured on all ranks at the same time.
///
/// Model FLOP utilisation (MFU; Chowdhery et al., 2022) is the useful arithmetic of a run divided by its time and by
/// this rate.
public enum ArithmeticLimit {
  /// The rate of each rank, GFLOP/s, all multiplying at once, each with its own threads; collective.
  ///
  /// - Parameter precision: of the operands.
  public static func measure(_ precision: Precision, on communicator: any Communicator) throws -> [Double] {
    try communicator.barrier()
    return try communicator.allGather(LinearAlgebraLibrary.measureGigaflops(precision))
  }
}
