import CMPI
import Platform

/// Converts MPI's return codes to Swift errors: throws `.peer` with the call's name and MPI's error text.
///
/// Errors are fatal by MPI's default, which Retort keeps; this handles MPI libraries that return them anyway.
/// During the call the watchdog counts this rank as waiting for its peers.
func check(_ call: @autoclosure () -> Int32, _ name: StaticString) throws {
  try checkCode(Activity.waitingForPeers(call), name)
}

/// Converts the return code of a call that does not wait.
func checkCode(_ code: Int32, _ name: StaticString) throws {
  guard code != cmpi_success() else { return }
  var text = [CChar](repeating: 0, count: Int(cmpi_max_error_string()) + 1)
  var length: Int32 = 0
  MPI_Error_string(code, &text, &length)
  let words = String(decoding: text.prefix(Int(length)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
  throw RetortError(
    .peer, "\(name) failed (\(words))", at: currentHostName(),
    remedy: "check the messages of the other ranks and the network")
}

extension ElementKind {
  var datatype: MPI_Datatype {
    switch self {
    case .float32: cmpi_float()
    case .float64: cmpi_double()
    case .int64: cmpi_int64()
    case .int32: cmpi_int32()
    case .byte: cmpi_uint8()
    }
  }
}

extension Reduction {
  var operation: MPI_Op {
    switch self {
    case .sum: cmpi_sum()
    case .max: cmpi_max()
    case .min: cmpi_min()
    }
  }
}

/// The MPI type of a chunk of each block: `width` elements with an extent of `blockCount` elements.
///
///     |-- width --|            |-- width --|
///     |------- blockCount -----|------- blockCount -----|
///
/// With it one collective moves the same chunk of every block without displacements, which would be C ints.
final class BlockType {
  let datatype: MPI_Datatype

  init(_ kind: ElementKind, stride: Int, width: Int, blockCount: Int) throws {
    var packed: MPI_Datatype?
    try check(MPI_Type_contiguous(Int32(width), kind.datatype, &packed), "MPI_Type_contiguous")
    if width == blockCount {
      datatype = packed!
    } else {
      var spaced: MPI_Datatype?
      try check(MPI_Type_create_resized(packed, 0, blockCount * stride, &spaced), "MPI_Type_create_resized")
      try check(MPI_Type_free(&packed), "MPI_Type_free")
      datatype = spaced!
    }
    var committed: MPI_Datatype? = datatype
    try check(MPI_Type_commit(&committed), "MPI_Type_commit")
  }

  deinit {
    guard cmpi_is_live() != 0 else { return }
    var freed: MPI_Datatype? = datatype
    MPI_Type_free(&freed)
  }
}

/// The types for the chunks of one operation: all chunks but the last have the same width.
struct BlockTypes {
  private var last: (width: Int, type: BlockType)?
  private(set) var all: [AnyObject] = []
  let kind: ElementKind
  let stride: Int
  let blockCount: Int

  init<T: CollectiveElement>(_ type: T.Type, blockCount: Int) {
    kind = T.elementKind
    stride = MemoryLayout<T>.stride
    self.blockCount = blockCount
  }

  mutating func type(width: Int) throws -> MPI_Datatype {
    if let last, last.width == width { return last.type.datatype }
    let made = try BlockType(kind, stride: stride, width: width, blockCount: blockCount)
    last = (width, made)
    all.append(made)
    return made.datatype
  }
}
