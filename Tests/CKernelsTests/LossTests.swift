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

  @Test func `cross-entropy is finite for logits of ten thousand`() {
    onEverySet { name in
      let (value, gradient) = crossEntropy([1e4, -1e4, 0], [1])
      #expect(value == [2e4])
      expectClose(gradient, [1, -1, 0], name)
    }
  }

  @Test func `a NaN logit makes the loss NaN`() {
    onEverySet { name in
      var numbers = Numbers(19)
      let logits = numbers.floats(100)
      for place in [0, 50, 99] {
        var bad = logits
        bad[place] = .nan
        #expect(crossEntropy(bad, [3]).value[0].isNaN, "\(name)")
      }
    }
  }
}
