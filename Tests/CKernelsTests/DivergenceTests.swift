import CKernels
import Foundation
import Testing

/// A divergence's definition in double: φ and its slope ∂φ/∂log q from log p and log q of one class.
private struct Definition {
  let kind: rtk_divergence_kind
  let parameter: Double
  let temperature: Double
  let classes: Double

  private func logSoftmax(_ x: [Double]) -> [Double] {
    let largest = x.max()!
    let sum = x.reduce(0) { $0 + exp(($1 - largest) / temperature) }
    return x.map { ($0 - largest) / temperature - log(sum) }
  }

  private func times(_ p: Double, _ l: @autoclosure () -> Double) -> Double { p == 0 ? 0 : p * l() }

  /// The factor of the term over the value.
  var factor: Double {
    switch kind {
    case RTK_TOTAL_VARIATION: temperature
    case RTK_LOGITS_MSE, RTK_UNIFORM_CROSS_ENTROPY: 1
    default: temperature * temperature
    }
  }

  private func term(_ logP: Double, _ logQ: Double) -> (value: Double, slope: Double) {
    let (p, q, b) = (exp(logP), exp(logQ), parameter)
    switch kind {
    case RTK_FORWARD_KL: return (times(p, logP - logQ), -p)
    case RTK_REVERSE_KL:
      let value = times(q, logQ - logP)
      return (value, value + q)
    case RTK_JENSEN_SHANNON:
      let m = b * p + (1 - b) * q
      let ofQ = (1 - b) * times(q, logQ - log(m))
      return (b * times(p, logP - log(m)) + ofQ, ofQ)
    case RTK_SKEW_FORWARD_KL:
      let m = b * p + (1 - b) * q
      return (times(p, logP - log(m)), -times(p, (1 - b) * q / m))
    case RTK_SKEW_REVERSE_KL:
      let m = b * q + (1 - b) * p
      let value = times(q, logQ - log(m))
      return (value, value + q - times(q, b * q / m))
    case RTK_TOTAL_VARIATION: return (abs(p - q) / 2, q > p ? q / 2 : q < p ? -q / 2 : 0)
    default: return (-logQ / classes, -1 / classes)
    }
  }

  /// Value without the factor, gradient with it, and the scale of each element of the gradient.
  func callAsFunction(_ s: [Double], _ t: [Double]) -> (value: Double, gradient: [Double], scale: [Double]) {
    if kind == RTK_LOGITS_MSE {
      let d = zip(s, t).map { $0 == $1 ? 0 : $0 - $1 }
      let gradient = d.map { 2 * $0 / classes }
      return (d.reduce(0) { $0 + $1 * $1 } / classes, gradient, gradient.map { abs($0) })
    }
    let (logQ, logP) = (logSoftmax(s), logSoftmax(t))
    let terms = zip(logP, logQ).map { term($0, $1) }
    let slope = terms.reduce(0) { $0 + $1.slope }
    let rate = factor / temperature
    return (
      terms.reduce(0) { $0 + $1.value }, zip(terms, logQ).map { rate * ($0.slope - exp($1) * slope) },
      zip(terms, logQ).map { rate * (abs($0.slope) + exp($1) * (1 + abs(slope))) }
    )
  }
}

private let softKinds = [
  RTK_FORWARD_KL, RTK_REVERSE_KL, RTK_JENSEN_SHANNON, RTK_SKEW_FORWARD_KL, RTK_SKEW_REVERSE_KL, RTK_TOTAL_VARIATION,
]

extension KernelTests {
  /// The three passes over rows whose columns come in blocks of these widths.
  private func diverge(
    _ divergence: rtk_divergence, _ student: [Float], _ teacher: [Float]?, rows: Int = 1, widths: [Int],
    isBF16: Bool = false, weights: [Float]? = nil, gradient: Float = 0
  ) -> (value: [Double], gradient: [Float]) {
    let columns = widths.reduce(0, +)
    var divergence = divergence
    var seen = [rtk_divergence_row](
      repeating: rtk_divergence_row(
        student_max: -.infinity, teacher_max: -.infinity, student_sum: 0, teacher_sum: 0, value: 0, slope: 0),
      count: rows)
    var result = [Float](repeating: gradient, count: rows * columns)
    let teacherBF16 = teacher.map { teacher in
      var rounded = [UInt16](repeating: 0, count: teacher.count)
      rtk_f32_to_bf16(&rounded, teacher, teacher.count)
      return rounded
    }
    for pass in 0..<3 {
      var first = 0
      for width in widths {
        let block = (0..<rows).flatMap { student[$0 * columns + first..<$0 * columns + first + width] }
        var part = (0..<rows).flatMap { result[$0 * columns + first..<$0 * columns + first + width] }
        func run(_ teacher: UnsafePointer<rtk_head_teacher>?) {
          switch pass {
          case 0: rtk_divergence_sums(&seen, block, teacher, rows, width, divergence.temperature)
          case 1: rtk_divergence_values(&divergence, &seen, block, teacher, rows, width)
          default: rtk_divergence_gradient(&divergence, &part, seen, weights, block, teacher, rows, width)
          }
        }
        if let teacher, let teacherBF16 {
          teacher.withUnsafeBufferPointer { f32 in
            teacherBF16.withUnsafeBufferPointer { bf16 in
              let start: UnsafeRawPointer = isBF16 ? .init(bf16.baseAddress! + first) : .init(f32.baseAddress! + first)
              var given = rtk_head_teacher(logits: start, stride: columns, is_bf16: isBF16)
              run(&given)
            }
          }
        } else {
          run(nil)
        }
        for r in 0..<rows {
          for c in 0..<width { result[r * columns + first + c] = part[r * width + c] }
        }
        first += width
      }
    }
    return (seen.map(\.value), result)
  }

  private func rounded(_ x: [Float]) -> [Float] {
    var (bits, out) = ([UInt16](repeating: 0, count: x.count), x)
    rtk_f32_to_bf16(&bits, x, x.count)
    rtk_bf16_to_f32(&out, bits, x.count)
    return out
  }

  /// Compares every instruction set with the definition.
  private func expectDivergence(
    _ kind: rtk_divergence_kind, parameter: Float, temperature: Float, _ student: [Float], _ teacher: [Float],
    widths: [Int]
  ) {
    let classes = student.count
    let definition = Definition(
      kind: kind, parameter: Double(parameter), temperature: Double(temperature), classes: Double(classes))
    let exact = definition(doubles(student), doubles(teacher))
    let divergence = rtk_divergence(kind: kind, temperature: temperature, parameter: parameter, classes: classes)
    let given = kind == RTK_UNIFORM_CROSS_ENTROPY ? nil : teacher
    onEverySet { name in
      for isBF16 in given == rounded(teacher) ? [false, true] : [false] {
        let found = diverge(divergence, student, given, widths: widths, isBF16: isBF16)
        // Where p and q are close, their difference has the absolute accuracy of a probability. The baseline of x86-64
        // has no fused multiply-add.
        let resolution = kind == RTK_TOTAL_VARIATION ? 2e-7 : name == "baseline" ? 1e-9 : 1e-10
        let what = "\(name), kind \(kind.rawValue), \(classes) classes, T \(temperature), parameter \(parameter)"
        #expect(
          abs(found.value[0] - exact.value) <= 1e-6 * abs(exact.value) + resolution,
          "\(what): \(found.value[0]), expected \(exact.value)")
        var worst = 0.0
        for c in 0..<classes {
          let difference = abs(Double(found.gradient[c]) - exact.gradient[c])
          worst = max(worst, difference / (1e-6 * (abs(exact.gradient[c]) + exact.scale[c]) + 1e-30))
        }
        #expect(worst <= 1, "\(what): the gradient's error is \(worst) times the tolerance")
      }
    }
  }

  @Test(arguments: softKinds + [RTK_LOGITS_MSE])
  func `a divergence and its gradient match the definition, however the columns are cut`(kind: rtk_divergence_kind) {
    for (widths, temperatures) in [
      ([2], [0.5, 1, 1.5, 2, 8]), ([3], [1, 3]), ([5, 1], [0.5, 4]), ([16, 1], [2]), ([3, 64, 40], [1, 8]),
      ([2048, 2500, 17], [1.5, 4]),
    ] as [([Int], [Float])] {
      for (index, temperature) in temperatures.enumerated() {
        var numbers = Numbers(UInt64(50 + index))
        let (classes, parameter) = (widths.reduce(0, +), [0.1, 0.5, 0.9][index % 3] as Float)
        let teacher = rounded(numbers.floats(classes, scale: 6))
        let far = numbers.floats(classes, scale: 6)
        let near = zip(teacher, numbers.floats(classes, scale: 0.05)).map { $0 + $1 + 3 }
        for student in [far, near] {
          expectDivergence(kind, parameter: parameter, temperature: temperature, student, teacher, widths: widths)
        }
      }
    }
  }

  @Test(arguments: softKinds + [RTK_LOGITS_MSE, RTK_UNIFORM_CROSS_ENTROPY])
  func `a divergence of 50,000 classes matches the definition`(kind: rtk_divergence_kind) {
    var numbers = Numbers(52)
    let (student, teacher) = (numbers.floats(50_000, scale: 8), numbers.floats(50_000, scale: 8))
    expectDivergence(kind, parameter: 0.3, temperature: 1, student, teacher, widths: [32_768, 17_232])
  }

  @Test func `uniform cross-entropy matches the definition and needs no teacher`() {
    for widths in [[1], [2], [17], [3, 64, 40]] {
      var numbers = Numbers(53)
      let student = numbers.floats(widths.reduce(0, +), scale: 6)
      expectDivergence(RTK_UNIFORM_CROSS_ENTROPY, parameter: 0, temperature: 1, student, student, widths: widths)
    }
  }

  @Test(arguments: softKinds + [RTK_LOGITS_MSE, RTK_UNIFORM_CROSS_ENTROPY])
  func `the gradient of a divergence is that of finite differences`(kind: rtk_divergence_kind) {
    onEverySet { name in
      for (classes, temperature, parameter) in [(2, 1, 0.1), (7, 2, 0.3), (18, 1.5, 0.9)] as [(Int, Float, Float)] {
        var numbers = Numbers(54)
        let (student, teacher) = (numbers.floats(classes), numbers.floats(classes))
        let T = kind == RTK_UNIFORM_CROSS_ENTROPY ? 1 : temperature
        let divergence = rtk_divergence(kind: kind, temperature: T, parameter: parameter, classes: classes)
        let given = kind == RTK_UNIFORM_CROSS_ENTROPY ? nil : teacher
        let found = diverge(divergence, student, given, widths: [classes])
        let definition = Definition(
          kind: kind, parameter: Double(parameter), temperature: Double(T), classes: Double(classes))
        let measured = finiteDifferences(doubles(student)) {
          definition.factor * definition($0, doubles(teacher)).value
        }
        expectClose(found.gradient, measured, absolute: 2e-6, relative: 2e-6, "\(name), kind \(kind.rawValue)")
      }
    }
  }

  @Test(arguments: softKinds + [RTK_LOGITS_MSE])
  func `equal logits have a divergence of exactly 0 and no gradient`(kind: rtk_divergence_kind) {
    onEverySet { name in
      var numbers = Numbers(55)
      let logits = rounded(numbers.floats(4 * 1027, scale: 10))
      for isBF16 in [false, true] {
        let divergence = rtk_divergence(kind: kind, temperature: 1.7, parameter: 0.4, classes: 1027)
        let found = diverge(divergence, logits, logits, rows: 4, widths: [1000, 27], isBF16: isBF16)
        #expect(found.value == [0, 0, 0, 0], "\(name), kind \(kind.rawValue)")
        #expect(found.gradient.allSatisfy { $0 == 0 }, "\(name), kind \(kind.rawValue)")
      }
    }
  }

  @Test(arguments: softKinds) func `classes that one side or both exclude count as 0 log 0`(kind: rtk_divergence_kind) {
    var numbers = Numbers(56)
    var (student, teacher) = (numbers.floats(90, scale: 3), numbers.floats(90, scale: 3))
    for c in 0..<70 { teacher[c] = -.infinity }  // all of the first block and some of the second
    for c in 60..<65 { student[c] = -.infinity }
    student[10] = -1000
    if kind != RTK_REVERSE_KL {
      expectDivergence(kind, parameter: 0.1, temperature: 2, student, teacher, widths: [60, 30])
    }
    // A reverse KL is finite where the teacher has every class that the student has.
    for c in Array(0..<60) + Array(65..<70) { teacher[c] = numbers.floats(1)[0] }
    expectDivergence(kind, parameter: 0.1, temperature: 2, student, teacher, widths: [60, 30])
  }

  @Test func `a reverse KL is infinite where the teacher excludes a class of the student`() {
    onEverySet { name in
      let divergence = rtk_divergence(kind: RTK_REVERSE_KL, temperature: 1, parameter: 0, classes: 3)
      #expect(diverge(divergence, [1, 2, 3], [0, -.infinity, 0], widths: [3]).value[0] == .infinity, "\(name)")
      let forward = rtk_divergence(kind: RTK_FORWARD_KL, temperature: 1, parameter: 0, classes: 3)
      #expect(diverge(forward, [1, -.infinity, 3], [0, 0, 0], widths: [3]).value[0] == .infinity, "\(name)")
    }
  }

  @Test func `a skewed divergence without skew is the plain one`() {
    onEverySet { name in
      var numbers = Numbers(57)
      let (student, teacher) = (numbers.floats(40), numbers.floats(40))
      for (skewed, plain) in [(RTK_SKEW_FORWARD_KL, RTK_FORWARD_KL), (RTK_SKEW_REVERSE_KL, RTK_REVERSE_KL)] {
        func result(_ kind: rtk_divergence_kind) -> (value: [Double], gradient: [Float]) {
          let divergence = rtk_divergence(kind: kind, temperature: 2, parameter: 0, classes: 40)
          return diverge(divergence, student, teacher, widths: [40])
        }
        #expect(result(skewed) == result(plain), "\(name)")
      }
    }
  }

  @Test(arguments: softKinds + [RTK_LOGITS_MSE])
  func `a weight multiplies a row's gradient, which is added, and weight 0 leaves it alone`(kind: rtk_divergence_kind) {
    onEverySet { name in
      var numbers = Numbers(58)
      var (student, teacher) = (numbers.floats(3 * 17), numbers.floats(3 * 17))
      let divergence = rtk_divergence(kind: kind, temperature: 2, parameter: 0.2, classes: 17)
      let plain = diverge(divergence, student, teacher, rows: 3, widths: [17])
      (student[20], teacher[25]) = (.nan, .nan)  // in row 1
      let found = diverge(
        divergence, student, teacher, rows: 3, widths: [17], weights: [0.5, 0, 3], gradient: 0.25)
      let factors: [Double] = [0.5, 0, 3]
      let expected = plain.gradient.indices.map { 0.25 + Double(plain.gradient[$0]) * factors[$0 / 17] }
      expectClose(found.gradient, expected, absolute: 2e-7, name)
    }
  }

  @Test(arguments: softKinds + [RTK_LOGITS_MSE, RTK_UNIFORM_CROSS_ENTROPY])
  func `a NaN logit makes a divergence NaN`(kind: rtk_divergence_kind) {
    onEverySet { name in
      var numbers = Numbers(59)
      let logits = numbers.floats(100)
      let divergence = rtk_divergence(kind: kind, temperature: 1, parameter: 0.2, classes: 100)
      for place in [0, 50, 98, 99] {
        var bad = logits
        bad[place] = .nan
        let given = kind == RTK_UNIFORM_CROSS_ENTROPY ? nil : logits
        #expect(diverge(divergence, bad, given, widths: [99, 1]).value[0].isNaN, "\(name), kind \(kind.rawValue)")
        guard given != nil else { continue }
        #expect(diverge(divergence, logits, bad, widths: [99, 1]).value[0].isNaN, "\(name), kind \(kind.rawValue)")
      }
    }
  }
}
