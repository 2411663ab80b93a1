// Scalars, arrays and text on top of the buffer operations. Hot paths use the buffer forms.

extension Communicator {
  /// The reduction of one value over all ranks.
  public func allReduce<T: CollectiveElement>(_ value: T, _ reduction: Reduction) throws -> T {
    var value = value
    try withUnsafeMutablePointer(to: &value) {
      try allReduce(UnsafeMutableBufferPointer(start: $0, count: 1), reduction)
    }
    return value
  }

  /// The reduction of each element over all ranks; equal counts.
  public func allReduce<T: CollectiveElement>(_ values: [T], _ reduction: Reduction) throws -> [T] {
    var values = values
    try values.withUnsafeMutableBufferPointer { try allReduce($0, reduction) }
    return values
  }

  /// Whether a condition holds on every rank.
  public func all(_ condition: Bool) throws -> Bool { try allReduce(condition ? 1 : 0, .min) == 1 }

  /// Whether a condition holds on at least one rank.
  public func any(_ condition: Bool) throws -> Bool { try allReduce(condition ? 1 : 0, .max) == 1 }

  /// The root's value, on every rank.
  public func broadcast<T: CollectiveElement>(_ value: T, root: Int = 0) throws -> T {
    var value = value
    try withUnsafeMutablePointer(to: &value) {
      try broadcast(UnsafeMutableBufferPointer(start: $0, count: 1), root: root)
    }
    return value
  }

  /// The root's elements, on every rank; the arguments of other ranks and their lengths are ignored.
  public func broadcast<T: CollectiveElement>(_ values: [T], root: Int = 0) throws -> [T] {
    let count = try broadcast(values.count, root: root)
    if rank == root {
      var values = values
      try values.withUnsafeMutableBufferPointer { try broadcast($0, root: root) }
      return values
    }
    return try fill(count, zeroed: false) { try broadcast($0, root: root) }
  }

  /// The root's bytes, on every rank; the arguments of other ranks are ignored.
  public func broadcast(bytes: [UInt8], root: Int = 0) throws -> [UInt8] { try broadcast(bytes, root: root) }

  /// The root's text, on every rank; the arguments of other ranks are ignored.
  public func broadcast(text: String, root: Int = 0) throws -> String {
    String(decoding: try broadcast(Array(text.utf8), root: root), as: UTF8.self)
  }

  /// receive [n] = Σ over ranks of block `rank` of values [P·n], summed in rank order.
  public func reduceScatter<T: CollectiveElement>(_ values: [T]) throws -> [T] {
    let count = blockCount(of: values.count, "reduceScatter")
    return try fill(count, zeroed: false) { receive in
      try values.withUnsafeBufferPointer { try reduceScatter($0, into: receive) }
    }
  }

  /// One value of each rank, in rank order.
  public func allGather<T: CollectiveElement>(_ value: T) throws -> [T] {
    try fill(size, zeroed: true) { buffer in
      buffer[rank] = value
      try allGather(buffer)
    }
  }

  /// The elements of each rank, in rank order; counts may differ.
  public func allGather<T: CollectiveElement>(_ values: [T]) throws -> [[T]] {
    let counts = try allGather(values.count)
    let together = try fill(counts.reduce(0, +), zeroed: false) { receive in
      try values.withUnsafeBufferPointer { try allGather($0, into: receive, counts: counts) }
    }
    return cut(together, counts)
  }

  /// The bytes of each rank, in rank order; lengths may differ.
  public func allGather(bytes: [UInt8]) throws -> [[UInt8]] { try allGather(bytes) }

  /// The text of each rank, in rank order.
  public func allGather(text: String) throws -> [String] {
    try allGather(Array(text.utf8)).map { String(decoding: $0, as: UTF8.self) }
  }

  /// The elements of each rank, in rank order, on the root; nil elsewhere. Counts may differ.
  public func gather<T: CollectiveElement>(_ values: [T], root: Int = 0) throws -> [[T]]? {
    let counts = try allGather(values.count)
    guard rank == root else {
      try values.withUnsafeBufferPointer { try gather($0, into: nil, counts: counts, root: root) }
      return nil
    }
    let together = try fill(counts.reduce(0, +), zeroed: false) { receive in
      try values.withUnsafeBufferPointer { try gather($0, into: receive, counts: counts, root: root) }
    }
    return cut(together, counts)
  }

  /// Block r of the result = block `rank` of rank r's values.
  public func allToAll<T: CollectiveElement>(_ values: [T]) throws -> [T] {
    try fill(values.count, zeroed: false) { receive in
      try values.withUnsafeBufferPointer { try allToAll($0, into: receive) }
    }
  }

  /// Sends to one rank.
  public func send<T: CollectiveElement>(_ values: [T], to destination: Int, tag: Int = 0) throws {
    try values.withUnsafeBufferPointer { try send($0, to: destination, tag: tag) }
  }

  /// Receives `count` elements from one rank.
  public func receive<T: CollectiveElement>(
    _ type: T.Type = T.self, count: Int, from source: Int, tag: Int = 0
  ) throws -> [T] {
    try fill(count, zeroed: false) { try receive($0, from: source, tag: tag) }
  }

  /// `iAllReduce` without an owner to keep alive.
  public func iAllReduce<T: CollectiveElement>(
    _ buffer: UnsafeMutableBufferPointer<T>, _ reduction: Reduction
  ) throws -> PendingOperation { try iAllReduce(buffer, reduction, keeping: nil) }

  /// `iReduceScatter` without an owner to keep alive.
  public func iReduceScatter<T: CollectiveElement>(
    _ send: UnsafeBufferPointer<T>, into receive: UnsafeMutableBufferPointer<T>
  ) throws -> PendingOperation { try iReduceScatter(send, into: receive, keeping: nil) }

  /// `iAllGather` without an owner to keep alive.
  public func iAllGather<T: CollectiveElement>(
    _ buffer: UnsafeMutableBufferPointer<T>
  ) throws -> PendingOperation { try iAllGather(buffer, keeping: nil) }

  /// `iSend` without an owner to keep alive.
  public func iSend<T: CollectiveElement>(
    _ buffer: UnsafeBufferPointer<T>, to destination: Int, tag: Int
  ) throws -> PendingOperation { try iSend(buffer, to: destination, tag: tag, keeping: nil) }

  /// `iReceive` without an owner to keep alive.
  public func iReceive<T: CollectiveElement>(
    _ buffer: UnsafeMutableBufferPointer<T>, from source: Int, tag: Int
  ) throws -> PendingOperation { try iReceive(buffer, from: source, tag: tag, keeping: nil) }

  /// A new array that `body` fills; it must write all elements unless `zeroed` is true.
  private func fill<T: CollectiveElement>(
    _ count: Int, zeroed: Bool, _ body: (UnsafeMutableBufferPointer<T>) throws -> Void
  ) throws -> [T] {
    try [T](unsafeUninitializedCapacity: count) { buffer, initialized in
      let exact = UnsafeMutableBufferPointer(rebasing: buffer[..<count])
      if zeroed { UnsafeMutableRawBufferPointer(exact).initializeMemory(as: UInt8.self, repeating: 0) }
      try body(exact)
      initialized = count
    }
  }

  private func cut<T>(_ values: [T], _ counts: [Int]) -> [[T]] {
    var start = 0
    return counts.map { count in
      defer { start += count }
      return Array(values[start..<start + count])
    }
  }
}
