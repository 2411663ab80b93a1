import CKernels
import Foundation
import Testing

extension KernelTests {
  /// T² (a KL(label and rest) + b KL(inside the rest)).
  private func decoupled(
    _ s: [Double], _ t: [Double], label: Int, temperature: Double, target: Double, rest: Double
  ) -> Double {
    guard label >= 0 else { return 0 }
    let (p, q) = (
      Reference.softmax(t, columns: t.count, inverseTemperature: 1 / temperature),
      Reference.softmax(s, columns: s.count, inverseTemperature: 1 / temperature)
    )
    func others(_ x: [Double]) -> [Double] { x.indices.filter { $0 != label }.map { x[$0] } }
    func kl(_ p: [Double], _ q: [Double]) -> Double {
      zip(p, q).reduce(0) { $0 + ($1.0 == 0 ? 0 : $1.0 * log($1.0 / $1.1)) }
    }
    let (restP, restQ) = (others(p).reduce(0, +), others(q).reduce(0, +))
    let ofTarget = kl([p[label], restP], [q[label], restQ])
    let ofRest = kl(others(p).map { $0 / restP }, others(q).map { $0 / restQ })
    return temperature * temperature * (target * ofTarget + rest * ofRest)
  }

  /// Σ |p_(i) - q_(i)|, both sorted.
  private func sortedDistance(_ s: [Double], _ t: [Double], temperature: Double) -> Double {
    func sorted(_ x: [Double]) -> [Double] {
      let p = Reference.softmax(x, columns: x.count, inverseTemperature: 1 / temperature).sorted(by: >)
      return p + [Double](repeating: 0, count: max(s.count, t.count) - x.count)
    }
    return zip(sorted(s), sorted(t)).reduce(0) { $0 + abs($1.0 - $1.1) }
  }

  private func sortedL1(
    _ student: [Float], _ teacher: [Float], rows: Int, temperature: Float, weights: [Float]? = nil
  ) -> (value: [Double], gradient: [Float]) {
    let (columns, taught) = (student.count / rows, teacher.count / rows)
    var value = [Double](repeating: .nan, count: rows)
    var gradient = [Float](repeating: 0.25, count: student.count)
    var scratch = [UInt64](repeating: .max, count: 4 * (columns + taught))
    rtk_sorted_l1(&value, &gradient, weights, student, teacher, &scratch, rows, columns, taught, temperature)
    return (value, gradient)
  }

  @Test func `decoupled KL and its gradient match the definition`() {
    onEverySet { name in
      for (classes, temperature) in [(2, 1), (3, 2), (17, 1.5), (100, 4), (1000, 1)] as [(Int, Float)] {
        var numbers = Numbers(80)
        let (student, teacher) = (numbers.floats(4 * classes, scale: 5), numbers.floats(4 * classes, scale: 5))
        let labels: [Int32] = [0, Int32(classes - 1), -1, Int32(classes / 2)]
        let weights: [Float] = [1, 0.5, 3, 0]
        var value = [Double](repeating: .nan, count: 4)
        var gradient = [Float](repeating: 0.25, count: student.count)
        rtk_decoupled_kl(&value, &gradient, weights, student, teacher, labels, 4, classes, temperature, 1.5, 2)
        for r in 0..<4 {
          let range = r * classes..<(r + 1) * classes
          let (s, t) = (doubles(Array(student[range])), doubles(Array(teacher[range])))
          func definition(_ s: [Double]) -> Double {
            decoupled(s, t, label: Int(labels[r]), temperature: Double(temperature), target: 1.5, rest: 2)
          }
          let expected = definition(s)
          #expect(abs(value[r] - expected) <= 1e-9 * (1 + expected), "\(name), \(classes) classes")
          guard classes <= 100 else { continue }
          let measured = finiteDifferences(s, definition).map { 0.25 + Double(weights[r]) * $0 }
          expectClose(Array(gradient[range]), measured, "\(name), \(classes) classes")
        }
      }
    }
  }

  @Test func `decoupled KL of equal logits, of one class, and of classes that the teacher excludes`() {
    onEverySet { name in
      var numbers = Numbers(81)
      let logits = numbers.floats(2 * 50, scale: 9)
      var (value, gradient) = ([Double](repeating: .nan, count: 2), [Float](repeating: 0, count: 100))
      rtk_decoupled_kl(&value, &gradient, nil, logits, logits, [3, 49], 2, 50, 2, 1, 2)
      #expect(value == [0, 0] && gradient.allSatisfy { $0 == 0 }, "\(name)")
      rtk_decoupled_kl(&value, &gradient, nil, logits, logits, [0, 0], 2, 1, 2, 1, 2)
      #expect(value == [0, 0] && gradient.allSatisfy { $0 == 0 }, "\(name)")
      var (one, four) = ([Double.nan], [Float](repeating: 0, count: 4))
      rtk_decoupled_kl(&one, &four, nil, [1, 2, 3, 4], [1, -.infinity, 2, 5], [3], 1, 4, 1, 1, 2)
      let expected = decoupled([1, 2, 3, 4], [1, -.infinity, 2, 5], label: 3, temperature: 1, target: 1, rest: 2)
      #expect(abs(one[0] - expected) < 1e-9 && four.allSatisfy { $0.isFinite }, "\(name)")
      rtk_decoupled_kl(&one, &four, nil, [1, .nan, 3, 4], [1, 1, 2, 5], [3], 1, 4, 1, 1, 2)
      #expect(one[0].isNaN, "\(name)")
      rtk_decoupled_kl(&one, nil, nil, [1, 2, 3, 4], [1, -.infinity, 2, 5], [3], 1, 4, 1, 1, 2)
      #expect(abs(one[0] - expected) < 1e-9, "\(name)")
    }
  }

  @Test func `the distance of sorted probabilities and its gradient match the definition`() {
    onEverySet { name in
      for (classes, taught, temperature) in [
        (1, 1, 1), (2, 3, 1), (3, 2, 2), (17, 17, 1.5), (40, 100, 0.5), (100, 40, 4), (3000, 2500, 1),
      ] as [(Int, Int, Float)] {
        var numbers = Numbers(82)
        let (student, teacher) = (numbers.floats(2 * classes, scale: 4), numbers.floats(2 * taught, scale: 3))
        let weights: [Float] = [1, 0.5]
        let found = sortedL1(student, teacher, rows: 2, temperature: temperature, weights: weights)
        for r in 0..<2 {
          let s = doubles(Array(student[r * classes..<(r + 1) * classes]))
          let t = doubles(Array(teacher[r * taught..<(r + 1) * taught]))
          func definition(_ s: [Double]) -> Double { sortedDistance(s, t, temperature: Double(temperature)) }
          let message = "\(name), \(classes) and \(taught) classes"
          #expect(abs(found.value[r] - definition(s)) < 1e-6, "\(message)")
          guard classes <= 100 else { continue }
          let measured = finiteDifferences(s, step: 1e-6, definition).map { 0.25 + Double(weights[r]) * $0 }
          expectClose(Array(found.gradient[r * classes..<(r + 1) * classes]), measured, "\(message)")
        }
      }
    }
  }

  @Test func `the distance of sorted probabilities is 0 for the same numbers in another order`() {
    onEverySet { name in
      var numbers = Numbers(83)
      let logits = numbers.floats(1027, scale: 20).map { ($0 * 4).rounded() / 4 }  // many are equal
      let found = sortedL1(logits, logits.reversed(), rows: 1, temperature: 1)
      // The sums are of the same numbers in another order.
      #expect(found.value[0] < 1e-6, "\(name)")
      let same = sortedL1(logits, logits, rows: 1, temperature: 1)
      #expect(same.value == [0] && same.gradient.allSatisfy { $0 == 0.25 }, "\(name)")
      var bad = logits
      bad[500] = .nan
      #expect(sortedL1(bad, logits, rows: 1, temperature: 1).value[0].isNaN, "\(name)")
      #expect(sortedL1(logits, bad, rows: 1, temperature: 1).value[0].isNaN, "\(name)")
      let excluded = sortedL1([1, 2], [2, -.infinity, 1, -.infinity], rows: 1, temperature: 1)
      #expect(excluded.value == [0], "\(name)")
    }
  }
}
