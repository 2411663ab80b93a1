import CKernels
import Tensors

/// Elements converted at a time through an aligned copy, which stays in the first-level cache.
private let chunk = 4096

/// destination[i] = Float(source[i]) for `count` elements of `dtype`; `source` may have any alignment.
func convertToFloats(
  _ destination: UnsafeMutablePointer<Float>, from source: UnsafeRawPointer, dtype: DType, count: Int
) {
  switch dtype {
  case .float32: UnsafeMutableRawPointer(destination).copyMemory(from: source, byteCount: count * 4)
  case .bfloat16: convertHalves(destination, from: source, count: count, by: rtk_bf16_to_f32)
  case .float16: convertHalves(destination, from: source, count: count, by: rtk_f16_to_f32)
  case .float64:
    for i in 0..<count { destination[i] = Float(source.loadUnaligned(fromByteOffset: i * 8, as: Double.self)) }
  case .int64: convertIntegers(destination, from: source, count: count, as: Int64.self)
  case .int32: convertIntegers(destination, from: source, count: count, as: Int32.self)
  case .int16: convertIntegers(destination, from: source, count: count, as: Int16.self)
  case .int8: convertIntegers(destination, from: source, count: count, as: Int8.self)
  case .uint8: convertIntegers(destination, from: source, count: count, as: UInt8.self)
  case .bool:
    for i in 0..<count { destination[i] = source.load(fromByteOffset: i, as: UInt8.self) == 0 ? 0 : 1 }
  }
}

private func convertIntegers<Value: FixedWidthInteger & BitwiseCopyable>(
  _ destination: UnsafeMutablePointer<Float>, from source: UnsafeRawPointer, count: Int, as type: Value.Type
) {
  let size = MemoryLayout<Value>.size
  for i in 0..<count { destination[i] = Float(source.loadUnaligned(fromByteOffset: i * size, as: type)) }
}

/// Runs a 16-bit kernel, through an aligned buffer if the data begins at an odd address.
private func convertHalves(
  _ destination: UnsafeMutablePointer<Float>, from source: UnsafeRawPointer, count: Int,
  by kernel: (UnsafeMutablePointer<Float>?, UnsafePointer<UInt16>?, Int) -> Void
) {
  if UInt(bitPattern: source) % 2 == 0 {
    kernel(destination, source.assumingMemoryBound(to: UInt16.self), count)
    return
  }
  withUnsafeTemporaryAllocation(of: UInt16.self, capacity: chunk) { buffer in
    guard let aligned = buffer.baseAddress else { return }
    var done = 0
    while done < count {
      let part = min(chunk, count - done)
      UnsafeMutableRawPointer(aligned).copyMemory(from: source + done * 2, byteCount: part * 2)
      kernel(destination + done, aligned, part)
      done += part
    }
  }
}

/// Passes the floats to `body` as bytes of `dtype` (a float type), in consecutive chunks.
func withConvertedFloats(
  _ values: UnsafeBufferPointer<Float>, to dtype: DType, _ body: (UnsafeRawBufferPointer) throws -> Void
) rethrows {
  guard let start = values.baseAddress, !values.isEmpty else { return }
  if dtype == .float32 { return try body(UnsafeRawBufferPointer(values)) }
  // Large enough to make the cost of a write call negligible.
  let room = min(values.count, 1 << 18)
  try withUnsafeTemporaryAllocation(byteCount: room * dtype.size, alignment: 64) { buffer in
    guard let out = buffer.baseAddress else { return }
    var done = 0
    while done < values.count {
      let part = min(room, values.count - done)
      convertFloats(start + done, count: part, to: dtype, out)
      try body(UnsafeRawBufferPointer(start: out, count: part * dtype.size))
      done += part
    }
  }
}

/// out[i] = values[i] rounded to `dtype`, a float type; `out` is aligned.
private func convertFloats(
  _ values: UnsafePointer<Float>, count: Int, to dtype: DType, _ out: UnsafeMutableRawPointer
) {
  switch dtype {
  case .bfloat16: rtk_f32_to_bf16(out.bindMemory(to: UInt16.self, capacity: count), values, count)
  case .float16: rtk_f32_to_f16(out.bindMemory(to: UInt16.self, capacity: count), values, count)
  case .float64:
    let doubles = out.bindMemory(to: Double.self, capacity: count)
    for i in 0..<count { doubles[i] = Double(values[i]) }
  default: preconditionFailure("floats are not written as \(dtype.rawValue)")
  }
}
