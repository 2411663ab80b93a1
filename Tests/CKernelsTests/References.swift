import Foundation

/// The kernels' definitions as plain loops in double.
enum Reference {
  static func layerNorm(_ x: [Double], _ gamma: [Double], _ beta: [Double], columns: Int, eps: Double)
    -> (y: [Double], mean: [Double], rstd: [Double])
  {
    var y = x
    var means: [Double] = []
    var rstds: [Double] = []
    for r in 0..<x.count / columns {
      let row = x[r * columns..<(r + 1) * columns]
      let mean = row.reduce(0, +) / Double(columns)
      let variance = row.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(columns)
      let rstd = 1 / (variance + eps).squareRoot()
      for c in 0..<columns { y[r * columns + c] = gamma[c] * (x[r * columns + c] - mean) * rstd + beta[c] }
      means.append(mean)
      rstds.append(rstd)
    }
    return (y, means, rstds)
  }

  static func softmax(_ x: [Double], columns: Int, inverseTemperature: Double = 1) -> [Double] {
    var out = x
    for r in 0..<x.count / columns {
      let range = r * columns..<(r + 1) * columns
      let largest = x[range].max()!
      for i in range { out[i] = exp((x[i] - largest) * inverseTemperature) }
      let sum = out[range].reduce(0, +)
      for i in range { out[i] /= sum }
    }
    return out
  }

  /// -log softmax(logits)[label], 0 without a label.
  static func crossEntropy(_ logits: [Double], label: Int) -> Double {
    guard label >= 0 else { return 0 }
    let largest = logits.max()!
    return log(logits.reduce(0) { $0 + exp($1 - largest) }) + largest - logits[label]
  }

  /// T² KL(softmax(teacher/T) ‖ softmax(student/T)).
  static func forwardKL(_ student: [Double], _ teacher: [Double], temperature: Double) -> Double {
    let p = softmax(teacher, columns: teacher.count, inverseTemperature: 1 / temperature)
    let q = softmax(student, columns: student.count, inverseTemperature: 1 / temperature)
    return temperature * temperature * zip(p, q).reduce(0) { $0 + ($1.0 == 0 ? 0 : $1.0 * log($1.0 / $1.1)) }
  }

  /// 1 / (1 - p) for a kept element, else 0.
  static func dropoutFactor(_ counter: UInt32, _ key0: UInt32, _ key1: UInt32, p: Float) -> Float {
    func mix(_ word: UInt32) -> UInt32 {
      var x = word
      x = (x ^ (x >> 16)) &* 0x7feb_352d
      x = (x ^ (x >> 15)) &* 0x846c_a68b
      return x ^ (x >> 16)
    }
    let random = mix(mix(counter &* 0x9e37_79b9 &+ key0) ^ key1)
    return Double(random) >= (Double(p) * 4_294_967_296).rounded(.down) ? 1 / (1 - p) : 0
  }
}
