import CKernels
import Foundation
import Testing

extension KernelTests {
  /// The state of a row before its first columns.
  private var unseen: rtk_head_row {
    rtk_head_row(
      student_max: -.infinity, teacher_max: -.infinity, student_sum: 0, soft_student_sum: 0, teacher_sum: 0,
      difference: 0)
  }

  /// Loss and gradient of one row whose columns come in blocks of these widths.
  private func headLoss(
    _ student: [Float], _ teacher: [Float]?, label: Int32, widths: [Int], temperature: Float, hard: Double,
    soft: Double
  ) -> (hard: Double, soft: Double, gradient: [Float], rounded: [UInt16]) {
    var (row, score, first) = ([unseen], [0.0], 0)
    func each(_ body: (_ student: [Float], _ teacher: UnsafePointer<rtk_head_teacher>?, _ first: Int) -> Void) {
      first = 0
      for width in widths {
        let part = first..<first + width
        if let teacher {
          Array(teacher[part]).withUnsafeBufferPointer {
            var given = rtk_head_teacher(logits: $0.baseAddress, stride: width, is_bf16: false)
            body(Array(student[part]), &given, first)
          }
        } else {
          body(Array(student[part]), nil, first)
        }
        first += width
      }
    }
    each { student, teacher, first in
      rtk_head_pick(&score, student, [label], 1, first, 1, student.count)
      rtk_head_sums(&row, student, teacher, 1, student.count, temperature)
    }
    var (values, factors) = ([0.0, 0.0], [rtk_head_factors()])
    values.withUnsafeMutableBufferPointer {
      rtk_head_finish(
        $0.baseAddress, $0.baseAddress! + 1, &factors, row, score, [label], 1, teacher != nil, hard, soft, temperature)
    }
    var (gradient, rounded): ([Float], [UInt16]) = ([], [])
    each { student, teacher, first in
      var (g, b) = ([Float](repeating: .nan, count: student.count), [UInt16](repeating: 0, count: student.count))
      rtk_head_gradient(&g, false, student, teacher, factors, [label], first, 1, student.count, hard, temperature)
      rtk_head_gradient(&b, true, student, teacher, factors, [label], first, 1, student.count, hard, temperature)
      gradient += g
      rounded += b
    }
    return (values[0], values[1], gradient, rounded)
  }

  @Test(arguments: [1, 2, 3] as [Float])
  func `a head's loss and gradient match the definition, however its columns are cut`(temperature: Float) {
    onEverySet { name in
      for widths in [[1], [5], [16, 1], [3, 64, 40], [2048, 2500, 17]] {
        let classes = widths.reduce(0, +)
        var numbers = Numbers(41)
        let (student, teacher) = (numbers.floats(classes, scale: 6), numbers.floats(classes, scale: 6))
        for label in [-1, 0, classes - 1] {
          let found = headLoss(
            student, teacher, label: Int32(label), widths: widths, temperature: temperature, hard: 0.3, soft: 0.7)
          let (s, t, T) = (doubles(student), doubles(teacher), Double(temperature))
          #expect(abs(found.hard - Reference.crossEntropy(s, label: label)) < 1e-6, "\(name)")
          let kl = Reference.forwardKL(s, t, temperature: T)
          #expect(abs(found.soft - kl) < 1e-6 * (1 + T * T + kl), "\(name), \(classes) classes")
          let q = Reference.softmax(s, columns: classes, inverseTemperature: 1 / T)
          let p = Reference.softmax(t, columns: classes, inverseTemperature: 1 / T)
          var expected = zip(q, p).map { 0.7 * T * ($0 - $1) }
          if label >= 0 {
            expected = zip(expected, Reference.softmax(s, columns: classes)).map { $0 + 0.3 * $1 }
            expected[label] -= 0.3
          }
          expectClose(found.gradient, expected, absolute: 1e-6, name)
          var rounded = [UInt16](repeating: 0, count: classes)
          rtk_f32_to_bf16(&rounded, found.gradient, classes)
          for (a, b) in zip(found.rounded, rounded) where a != b {
            // Numbers too small for bf16's exponents may become 0.
            #expect(a & 0x7fff == 0 && b & 0x7fff < 0x80, "\(name)")
          }
        }
      }
    }
  }

  @Test func `a head's loss has no teacher, or one that excludes classes`() {
    onEverySet { name in
      var numbers = Numbers(42)
      let student = numbers.floats(90, scale: 3)
      let plain = headLoss(student, nil, label: 7, widths: [60, 30], temperature: 1, hard: 1, soft: 0)
      #expect(abs(plain.hard - Reference.crossEntropy(doubles(student), label: 7)) < 1e-6, "\(name)")
      #expect(plain.soft == 0)
      // All of the first block is excluded, and some of the second.
      var teacher = numbers.floats(90, scale: 3)
      for c in 0..<70 { teacher[c] = -.infinity }
      let some = headLoss(student, teacher, label: -1, widths: [60, 30], temperature: 2, hard: 0, soft: 1)
      let expected = Reference.forwardKL(doubles(student), doubles(teacher), temperature: 2)
      #expect(abs(some.soft - expected) < 1e-6 * (4 + expected), "\(name)")
      let q = Reference.softmax(doubles(student), columns: 90, inverseTemperature: 0.5)
      let p = Reference.softmax(doubles(teacher), columns: 90, inverseTemperature: 0.5)
      expectClose(some.gradient, zip(q, p).map { 2 * ($0 - $1) }, absolute: 1e-6, name)
    }
  }

  @Test func `a head's NaN logit makes its loss NaN, and logits of ten thousand do not`() {
    onEverySet { name in
      var numbers = Numbers(43)
      let teacher = numbers.floats(100)
      for place in [0, 50, 99] {
        var student = teacher
        student[place] = .nan
        let found = headLoss(student, teacher, label: 3, widths: [40, 60], temperature: 2, hard: 1, soft: 1)
        #expect(found.hard.isNaN && found.soft.isNaN, "\(name)")
      }
      let far = headLoss([1e4, -1e4, 0], nil, label: 1, widths: [2, 1], temperature: 1, hard: 1, soft: 0)
      #expect(far.hard == 2e4)
      expectClose(far.gradient, [1, -1, 0], name)
    }
  }

  @Test func `classes are picked, left out and put at their columns`() {
    onEverySet { name in
      let (rows, columns, k) = (3, 70, 40)
      var numbers = Numbers(44)
      let logits = numbers.floats(rows * columns)
      // The columns are classes 100 ..< 170; those of row r begin at 90 + 20 r.
      let classes = (0..<rows * k).map { Int32(90 + 20 * ($0 / k) + $0 % k * 2) }
      var scores = [Double](repeating: 0, count: rows * k)
      rtk_head_pick(&scores, logits, classes, k, 100, rows, columns)
      var (left, put) = (logits, logits)
      rtk_head_leave_out(&left, classes, k, 100, rows, columns)
      let values = (0..<rows * k).map { Float($0 + 1000) }
      rtk_head_put(&put, false, values, classes, k, 100, rows, columns)
      for r in 0..<rows {
        for c in 0..<columns {
          let place = r * columns + c
          let index = (r * k..<(r + 1) * k).first { Int(classes[$0]) == 100 + c }
          #expect(left[place] == (index == nil ? logits[place] : -.infinity), "\(name)")
          #expect(put[place] == (index.map { values[$0] } ?? logits[place]), "\(name)")
          if let index { #expect(scores[index] == Double(logits[place]), "\(name)") }
        }
      }
      for (index, found) in classes.enumerated() where found < 100 || found >= 170 { #expect(scores[index] == 0) }
    }
  }

  @Test func `the k largest are found in any order of the row`() {
    onEverySet { name in
      for (columns, k) in [(1, 1), (5, 5), (300, 1), (3000, 10), (3000, 400), (2000, 2000)] {
        var numbers = Numbers(45)
        let mixed = numbers.floats(columns, scale: 3).map { ($0 * 8).rounded() / 8 }
        for row in [mixed, mixed.sorted(), mixed.sorted(by: >), mixed.map { _ in 2 }] {
          var values = [Float](repeating: .nan, count: k)
          var (classes, rest) = ([Int32](repeating: -1, count: k), [Float.nan])
          var keys = [UInt64](repeating: 0, count: 4 * k + 256)
          rtk_top_k(&values, &classes, &rest, &keys, row, false, 1, columns, k, 2)
          let order = row.indices.sorted { row[$0] == row[$1] ? $0 < $1 : row[$0] > row[$1] }
          #expect(classes.map { Int($0) } == Array(order.prefix(k)), "\(name), \(k) of \(columns)")
          #expect(values == order.prefix(k).map { row[$0] }, "\(name)")
          let others = order.dropFirst(k).reduce(0.0) { $0 + exp(Double(row[$1]) / 2) }
          let exact = log(others)
          let isClose = abs(Double(rest[0]) - exact) < 1e-6 * (1 + abs(exact))
          #expect(rest[0] == Float(exact) || isClose, "\(name), \(k) of \(columns): \(rest[0]), \(exact)")
        }
      }
      var row: [Float] = (0..<1000).map { Float($0) }
      row[500] = .nan
      var (values, classes, rest) = ([Float](repeating: 0, count: 2), [Int32](repeating: 0, count: 2), [Float(0)])
      var keys = [UInt64](repeating: 0, count: 264)
      rtk_top_k(&values, &classes, &rest, &keys, row, false, 1, 1000, 2, 1)
      #expect(values[0].isNaN && classes == [500, 999], "\(name)")
    }
  }
}
