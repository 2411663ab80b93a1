import CKernels
import Foundation
import Testing

extension KernelTests {
  private func crossEntropy(_ logits: [Float], _ labels: [Int32]) -> (value: [Double], gradient: [Float]) {
    var value = [Double](repeating: .nan, count: labels.count)
    let gradient = inPlace(logits) {
      rtk_cross_entropy(&value, $0, $0, labels, labels.count, logits.count / labels.count)
    }
    return (value, gradient)
  }

  private func forwardKL(
    _ student: [Float], _ teacher: [Float], _ weights: [Float]? = nil, rows: Int, temperature: Float
  ) -> (value: [Double], gradient: [Float]) {
    var value = [Double](repeating: .nan, count: rows)
    var gradient = [Float](repeating: .nan, count: student.count)
    rtk_forward_kl(&value, &gradient, student, teacher, weights, rows, student.count / rows, temperature)
    return (value, gradient)
  }

  @Test func `cross-entropy and its gradient match the definition`() {
    onEverySet { name in
      for classes in [1, 2, 3, 17, 64, 100, 5000] {
        var numbers = Numbers(15)
        let labels: [Int32] = [0, -1, Int32(classes - 1)]
        let logits = numbers.floats(3 * classes, scale: 6)
        let (value, gradient) = crossEntropy(logits, labels)
        for r in 0..<3 {
          let row = doubles(Array(logits[r * classes..<(r + 1) * classes]))
          let expected = Reference.crossEntropy(row, label: Int(labels[r]))
          #expect(abs(value[r] - expected) < 1e-6, "\(name), \(classes) classes")
          var slopes = Reference.softmax(row, columns: classes)
          if labels[r] >= 0 { slopes[Int(labels[r])] -= 1 } else { slopes = slopes.map { _ in 0 } }
          expectClose(Array(gradient[r * classes..<(r + 1) * classes]), slopes, absolute: 2e-7, name)
          if classes <= 17 {
            let measured = finiteDifferences(row) { Reference.crossEntropy($0, label: Int(labels[r])) }
            expectClose(Array(gradient[r * classes..<(r + 1) * classes]), measured, name)
          }
        }
      }
    }
  }

  @Test func `forward KL and its gradient match the definition at every temperature`() {
    onEverySet { name in
      for classes in [1, 2, 3, 17, 64, 100, 5000] {
        for temperature: Float in [0.5, 1, 2, 4] {
          var numbers = Numbers(16)
          let student = numbers.floats(2 * classes, scale: 5)
          let teacher = numbers.floats(2 * classes, scale: 5)
          let (value, gradient) = forwardKL(student, teacher, rows: 2, temperature: temperature)
          for r in 0..<2 {
            let range = r * classes..<(r + 1) * classes
            let (s, t) = (doubles(Array(student[range])), doubles(Array(teacher[range])))
            let exact = Double(temperature)
            let expected = Reference.forwardKL(s, t, temperature: exact)
            let tolerance = 1e-6 * (1 + exact * exact + expected)
            #expect(abs(value[r] - expected) < tolerance, "\(name), \(classes) classes, T \(temperature)")
            let p = Reference.softmax(t, columns: classes, inverseTemperature: 1 / exact)
            let q = Reference.softmax(s, columns: classes, inverseTemperature: 1 / exact)
            expectClose(Array(gradient[range]), zip(q, p).map { exact * ($0 - $1) }, name)
            if classes <= 17 {
              let measured = finiteDifferences(s) { Reference.forwardKL($0, t, temperature: exact) }
              expectClose(Array(gradient[range]), measured, absolute: 2e-6, relative: 2e-6, name)
            }
          }
        }
      }
    }
  }

  @Test func `a weight multiplies value and gradient, and weight 0 leaves out a row with NaN`() {
    onEverySet { name in
      var numbers = Numbers(17)
      var student = numbers.floats(3 * 17)
      let teacher = numbers.floats(3 * 17)
      let plain = forwardKL(student, teacher, rows: 3, temperature: 2)
      student[20] = .nan  // in row 1
      let weighted = forwardKL(student, teacher, [0.5, 0, 3], rows: 3, temperature: 2)
      #expect(abs(weighted.value[0] - 0.5 * plain.value[0]) < 1e-12)
      #expect(weighted.value[1] == 0)
      #expect(abs(weighted.value[2] - 3 * plain.value[2]) < 1e-12)
      let factors: [Double] = [0.5, 0, 3]
      let expected = plain.gradient.indices.map { Double(plain.gradient[$0]) * factors[$0 / 17] }
      expectClose(weighted.gradient, expected, absolute: 2e-7, name)
    }
  }

  @Test func `equal logits have no divergence and no gradient`() {
    onEverySet { name in
      var numbers = Numbers(18)
      let logits = numbers.floats(4 * 100, scale: 10)
      let (value, gradient) = forwardKL(logits, logits, rows: 4, temperature: 2)
      #expect(value.allSatisfy { abs($0) < 1e-9 }, "\(name)")
      expectClose(gradient, [Double](repeating: 0, count: 400), absolute: 1e-7, name)
    }
  }

  @Test func `losses are finite for logits of ten thousand and classes that the teacher excludes`() {
    onEverySet { name in
      let (value, gradient) = crossEntropy([1e4, -1e4, 0], [1])
      #expect(value == [2e4])
      expectClose(gradient, [1, -1, 0], name)
      let student: [Float] = [1, 2, 3]
      let masked = forwardKL(student, [0, -.infinity, 0], rows: 1, temperature: 1)
      let q = Reference.softmax([1, 2, 3], columns: 3)
      #expect(abs(masked.value[0] - (-log(2.0) - 0.5 * log(q[0]) - 0.5 * log(q[2]))) < 1e-6, "\(name)")
      expectClose(masked.gradient, [q[0] - 0.5, q[1], q[2] - 0.5], name)
    }
  }

  @Test func `a NaN logit makes the loss NaN`() {
    onEverySet { name in
      var numbers = Numbers(19)
      let teacher = numbers.floats(100)
      for place in [0, 50, 99] {
        var student = teacher
        student[place] = .nan
        #expect(crossEntropy(student, [3]).value[0].isNaN, "\(name)")
        #expect(forwardKL(student, teacher, rows: 1, temperature: 2).value[0].isNaN, "\(name)")
      }
    }
  }
}
