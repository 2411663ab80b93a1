import CKernels

/// A number that ranks can exchange and reduce: `Float`, `Double`, `Int`, `Int32`, `UInt8`.
package protocol CollectiveElement: BitwiseCopyable, Equatable, Sendable {
  /// The wire format of this type.
  static var elementKind: ElementKind { get }

  /// out[i] = parts[0][i] + parts[1][i] + …, in that order; parts [P, count] with `stride` elements between rows.
  ///
  /// Integers wrap around, as they do in MPI.
  static func sum(
    parts: UnsafePointer<Self>, partCount: Int, stride: Int, into out: UnsafeMutablePointer<Self>, count: Int)
}

/// The wire formats.
package enum ElementKind: String, Sendable, CaseIterable {
  case float32, float64, int64, int32, byte
}

/// How the values of several ranks are combined into one.
package enum Reduction: String, Sendable, CaseIterable {
  case sum, max, min
}

extension Float: CollectiveElement {
  package static var elementKind: ElementKind { .float32 }

  package static func sum(
    parts: UnsafePointer<Float>, partCount: Int, stride: Int, into out: UnsafeMutablePointer<Float>, count: Int
  ) { rtk_sum_parts(out, parts, partCount, stride, count) }
}

extension Double: CollectiveElement {
  package static var elementKind: ElementKind { .float64 }

  package static func sum(
    parts: UnsafePointer<Double>, partCount: Int, stride: Int, into out: UnsafeMutablePointer<Double>, count: Int
  ) {
    out.update(from: parts, count: count)
    for part in 1..<max(partCount, 1) {
      let row = parts + part * stride
      for index in 0..<count { out[index] += row[index] }
    }
  }
}

extension Int: CollectiveElement {
  package static var elementKind: ElementKind { .int64 }

  package static func sum(
    parts: UnsafePointer<Int>, partCount: Int, stride: Int, into out: UnsafeMutablePointer<Int>, count: Int
  ) { sumWrapping(parts, partCount, stride, out, count) }
}

extension Int32: CollectiveElement {
  package static var elementKind: ElementKind { .int32 }

  package static func sum(
    parts: UnsafePointer<Int32>, partCount: Int, stride: Int, into out: UnsafeMutablePointer<Int32>, count: Int
  ) { sumWrapping(parts, partCount, stride, out, count) }
}

extension UInt8: CollectiveElement {
  package static var elementKind: ElementKind { .byte }

  package static func sum(
    parts: UnsafePointer<UInt8>, partCount: Int, stride: Int, into out: UnsafeMutablePointer<UInt8>, count: Int
  ) { sumWrapping(parts, partCount, stride, out, count) }
}

@inline(__always)
private func sumWrapping<T: FixedWidthInteger & BitwiseCopyable>(
  _ parts: UnsafePointer<T>, _ partCount: Int, _ stride: Int, _ out: UnsafeMutablePointer<T>, _ count: Int
) {
  out.update(from: parts, count: count)
  for part in 1..<max(partCount, 1) {
    let row = parts + part * stride
    for index in 0..<count { out[index] &+= row[index] }
  }
}
