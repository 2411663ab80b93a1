import CKernels
import TestSupport
import Testing

@testable import Tensors

/// Weights in the order that oneDNN's products read. On a CPU without such products nothing is packable.
@Suite(.timeLimit(.minutes(2))) struct PackedWeightTests {
  @Test(arguments: [[64, 32], [128, 96], [192, 64]]) func `a packed weight has the same elements in other places`(
    shape: [Int]
  ) {
    let weight = randomTensor(Shape(shape), seed: 1).bf16()
    let packed = weight.packed()
    #expect(packed.layout == .packed && packed.shape == weight.shape && packed.dtype == .bfloat16)
    #expect(packed.float32().array == weight.float32().array)
    let words = (packed.storage.address + packed.byteOffset).assumingMemoryBound(to: UInt16.self)
    // Element [n, k] lies in block [n/64, k/32], there at pair (k mod 32)/2 of row n mod 64.
    for (n, k) in [(0, 0), (0, 1), (1, 0), (63, 31), (shape[0] - 1, shape[1] - 1), (shape[0] - 64, shape[1] - 2)] {
      let block = (n / 64) * (shape[1] / 32) + k / 32
      let place = block * 2048 + (k % 32) / 2 * 128 + (n % 64) * 2 + k % 2
      #expect(words[place] == weight.bf16Words[n * shape[1] + k], "[\(n), \(k)]")
    }
  }

  @Test func `only whole blocks are packable`() {
    for shape: Shape in [[63, 32], [64, 31], [64, 48], [96, 32], [0, 32], [64], [2, 64, 32]] {
      #expect(!Tensor.isPackable(shape), "\(shape)")
    }
    #expect(Tensor.isPackable([64, 32]) == BF16Products.areNative)
    #expect(Tensor.isPackable([2304, 768]) == BF16Products.areNative)
  }

  @Test(arguments: [1, 7, 16, 48, 65, 512, 700])
  func `products with a packed weight are the same bits as with its rows`(rows: Int) {
    for shape: Shape in [[64, 32], [128, 128], [192, 64], [64, 512]] where Tensor.isPackable(shape) {
      let (x, weight) = (randomTensor([rows, shape.columns], seed: 1).bf16(), randomTensor(shape, seed: 2).bf16())
      let (bias, packed) = (randomTensor([shape.rows], seed: 3), weight.packed())
      func product(_ w: Tensor, _ kind: rtk_activation?, _ dtype: DType) -> [Float] {
        let y = Tensor(uninitialized: [rows, shape.rows], dtype)
        affineProduct(x, w, bias: bias, activation: kind, into: y)
        return dtype == .float32 ? y.array : y.float32().array
      }
      for (kind, dtype) in [(nil, DType.float32), (RTK_GELU, .bfloat16), (nil, .bfloat16)] as [(rtk_activation?, DType)]
      {
        #expect(product(packed, kind, dtype) == product(weight, kind, dtype), "\(rows) rows, \(shape)")
      }
      let (a, b) = (Tensor(uninitialized: [rows, shape.rows]), Tensor(uninitialized: [rows, shape.rows]))
      rowProduct(x, packed, into: a)
      rowProduct(x, weight, into: b)
      #expect(a.array == b.array, "\(rows) rows, \(shape)")
    }
  }

  @Test func `rounding into a place gives what rounding gives`() {
    let weight = randomTensor([64, 32], seed: 5)
    let block = Storage(bytes: 2 * 2 * weight.count)
    for layout in [TensorLayout.rows, .packed] {
      let place = Tensor(
        storage: block, byteOffset: 2 * weight.count, shape: weight.shape, dtype: .bfloat16, layout: layout)
      weight.rounded(into: place)
      #expect(place.float32().array == weight.bf16().float32().array)
    }
  }
}
