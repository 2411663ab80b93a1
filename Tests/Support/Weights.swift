import Safetensors

extension StoredTensor {
  /// All elements as 32-bit floats, row-major.
  package func floats() -> [Float] {
    [Float](unsafeUninitializedCapacity: count) { buffer, initialized in
      if let start = buffer.baseAddress { copyFloats(into: start) }
      initialized = count
    }
  }
}

extension SafetensorsWriter {
  /// Appends the next tensor's data from an array.
  package mutating func append(_ name: String, floats: [Float]) throws {
    try floats.withUnsafeBufferPointer { try append(name, floats: $0) }
  }
}
