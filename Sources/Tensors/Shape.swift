/// The extents of a tensor, outermost first, at most four; stored inline, so a shape costs no allocation.
package struct Shape: Hashable, Sendable, ExpressibleByArrayLiteral, CustomStringConvertible {
  private var extents: SIMD4<Int32>
  /// The number of extents; 0 for a scalar.
  package let rank: Int

  /// Makes a shape of at most four extents, each in 0 ..< 2³¹; anything else is a precondition failure.
  package init(_ extents: [Int]) {
    precondition(extents.count <= 4, "a shape has at most four extents, not \(extents)")
    self.extents = SIMD4(repeating: 1)
    for (index, extent) in extents.enumerated() {
      precondition(extent >= 0 && extent <= Int(Int32.max), "extent \(extent) is out of range in \(extents)")
      self.extents[index] = Int32(extent)
    }
    rank = extents.count
  }

  package init(arrayLiteral elements: Int...) { self.init(elements) }

  /// The product of all extents: 1 for a scalar.
  package var count: Int {
    Int(extents[0]) * Int(extents[1]) * Int(extents[2]) * Int(extents[3])
  }

  /// Extent 0, or 1 for a scalar.
  package var rows: Int { Int(extents[0]) }
  /// The product of all extents but the first.
  package var columns: Int { Int(extents[1]) * Int(extents[2]) * Int(extents[3]) }

  /// The extents, outermost first; empty for a scalar.
  package var array: [Int] { (0..<rank).map { Int(extents[$0]) } }
  package var description: String { "[" + array.map(String.init).joined(separator: ", ") + "]" }
}
