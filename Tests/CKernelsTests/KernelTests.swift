import CKernels
import Testing

/// The kernels of each instruction set; the other files extend it by theme.
@Suite("Kernels") struct KernelTests {
  /// The sets that this CPU can run.
  static let sets = (["baseline", "neon", "avx2", "avx512", "avx512bf16"] as [String]).filter { rtk_isa_supported($0) }

  /// Sizes below, at and beside whole vectors of every width.
  static let sizes = [1, 3, 4, 15, 16, 17, 64, 100, 1027]

  /// Runs the body with each set selected for this thread, then with none.
  func onEverySet(_ body: (String) throws -> Void) rethrows {
    defer { rtk_select_isa(nil) }
    for name in Self.sets {
      #expect(rtk_select_isa(name) == 0)
      try body(name)
    }
  }

  @Test func `a set that is unknown or that this CPU lacks is refused and nothing changes`() {
    defer { rtk_select_isa(nil) }
    #expect(rtk_select_isa("baseline") == 0)
    let before = String(cString: rtk_isa_name())
    #expect(rtk_select_isa("abacus") == -1)
    #expect(!rtk_isa_supported("abacus"))
    #expect(String(cString: rtk_isa_name()) == before)
  }

  @Test func `the selected set is the one in use`() {
    onEverySet { name in
      #if arch(arm64)
        #expect(String(cString: rtk_isa_name()) == "neon")
      #else
        #expect(String(cString: rtk_isa_name()) == name)
      #endif
    }
  }
}

/// A generator with a fixed seed, so that every run tests the same numbers.
struct Numbers {
  private var state: UInt64

  init(_ seed: UInt64) { state = seed }

  mutating func bits() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  /// Uniform in -scale ..< scale.
  mutating func floats(_ count: Int, scale: Float = 2) -> [Float] {
    (0..<count).map { _ in Float(bits() >> 40) / Float(1 << 23) * scale - scale }
  }

  mutating func below(_ limit: Int) -> Int { Int(bits() % UInt64(limit)) }
}

func doubles(_ x: [Float]) -> [Double] { x.map(Double.init) }

/// Calls a kernel with the same memory as source and destination.
func inPlace(_ x: [Float], _ kernel: (UnsafeMutablePointer<Float>) -> Void) -> [Float] {
  var x = x
  x.withUnsafeMutableBufferPointer { kernel($0.baseAddress!) }
  return x
}

/// Expects |actual - expected| <= absolute + relative |expected| for each element; reports only the worst one.
func expectClose(
  _ actual: [Float], _ expected: [Double], absolute: Double = 1e-6, relative: Double = 1e-6, _ what: String = "",
  at location: SourceLocation = #_sourceLocation
) {
  #expect(actual.count == expected.count, "\(what)", sourceLocation: location)
  var worst = 0.0
  var index = -1
  for i in 0..<min(actual.count, expected.count) {
    let difference = abs(Double(actual[i]) - expected[i])
    let excess = difference / (absolute + relative * abs(expected[i]))
    if !(excess <= worst) {
      worst = excess
      index = i
    }
    if excess.isNaN { break }
  }
  if index >= 0 {
    #expect(
      worst <= 1, "\(what): element \(index) is \(actual[index]), expected \(expected[index])", sourceLocation: location
    )
  }
}

/// Central differences: ∂f/∂x_i for every i, for a smooth f in double.
func finiteDifferences(_ x: [Double], step: Double = 1e-5, _ f: ([Double]) -> Double) -> [Double] {
  var point = x
  return x.indices.map { i in
    point[i] = x[i] + step
    let above = f(point)
    point[i] = x[i] - step
    let below = f(point)
    point[i] = x[i]
    return (above - below) / (2 * step)
  }
}

func dot(_ a: [Double], _ b: [Double]) -> Double {
  var sum = 0.0
  for i in a.indices { sum += a[i] * b[i] }
  return sum
}
