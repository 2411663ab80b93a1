// Scalars, arrays and text on top of the buffer operations. Hot paths use the buffer forms.

extension Communicator {
  /// The reduction of one value over all ranks.
  package func allReduce<T: CollectiveElement>(_ value: T, _ reduction: Reduction) throws -> T {
    var value = value
    try withUnsafeMutablePointer(to: &value) {
      try allReduce(UnsafeMutableBufferPointer(start: $0, count: 1), reduction)
    }
    return value
  }

  /// The reduction of each element over all ranks; equal counts.
  package func allReduce<T: CollectiveElement>(_ values: [T], _ reduction: Reduction) throws -> [T] {
    var values = values
    try values.withUnsafeMutableBufferPointer { try allReduce($0, reduction) }
    return values
  }

  /// Whether a condition holds on every rank.
  package func all(_ condition: Bool) throws -> Bool { try allReduce(condition ? 1 : 0, .min) == 1 }

  /// Whether a condition holds on at least one rank.
  package func any(_ condition: Bool) throws -> Bool { try allReduce(condition ? 1 : 0, .max) == 1 }

  /// The root's value, on every rank.
  package func broadcast<T: CollectiveElement>(_ value: T, root: Int = 0) throws -> T {
    var value = value
    try withUnsafeMutablePointer(to: &value) {
      try broadcast(UnsafeMutableBufferPointer(start: $0, count: 1), root: root)
    }
    return value
  }

  /// The root's elements, on every rank; the arguments of other ranks and their lengths are ignored.
  package func broadcast<T: CollectiveElement>(_ values: [T], root: Int = 0) throws -> [T] {
    let count = try broadcast(values.count, root: root)
    if rank == root {
      var values = values
      try values.withUnsafeMutableBufferPointer { try broadcast($0, root: root) }
      return values
    }
    return try fill(count, zeroed: false) { try broadcast($0, root: root) }
  }

  /// The root's bytes, on every rank; the arguments of other ranks are ignored.
  package func broadcast(bytes: [UInt8], root: Int = 0) throws -> [UInt8] { try broadcast(bytes, root: root) }

  /// The root's text, on every rank; the arguments of other ranks are ignored.
  package func broadcast(text: String, root: Int = 0) throws -> String {
    String(decoding: try broadcast(Array(text.utf8), root: root), as: UTF8.self)
  }

  /// One value of each rank, in rank order.
  package func allGather<T: CollectiveElement>(_ value: T) throws -> [T] {
    try fill(size, zeroed: true) { buffer in
      buffer[rank] = value
      try allGather(buffer)
    }
  }

  /// The elements of each rank, in rank order; counts may differ.
  package func allGather<T: CollectiveElement>(_ values: [T]) throws -> [[T]] {
    let counts = try allGather(values.count)
    let together = try fill(counts.reduce(0, +), zeroed: false) { receive in
      try values.withUnsafeBufferPointer { try allGather($0, into: receive, counts: counts) }
    }
    return cut(together, counts)
  }

  /// The text of each rank, in rank order.
  package func allGather(text: String) throws -> [String] {
    try allGather(Array(text.utf8)).map { String(decoding: $0, as: UTF8.self) }
  }

  /// The elements of each rank, in rank order, on the root; nil elsewhere. Counts may differ.
  package func gather<T: CollectiveElement>(_ values: [T], root: Int = 0) throws -> [[T]]? {
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

  /// Sends to one rank.
  package func send<T: CollectiveElement>(_ values: [T], to destination: Int, tag: Int = 0) throws {
    try values.withUnsafeBufferPointer { try send($0, to: destination, tag: tag) }
  }

  /// Receives `count` elements from one rank.
  package func receive<T: CollectiveElement>(
    _ type: T.Type = T.self, count: Int, from source: Int, tag: Int = 0
  ) throws -> [T] {
    try fill(count, zeroed: false) { try receive($0, from: source, tag: tag) }
  }

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
