import Autograd
import TestSupport
import Testing

@testable import Training

@Suite struct SendingOrderTests {
  let parameters = (0..<5).map { trainedParameter("p\($0)", [1], seed: UInt64($0)) }
  var order: SendingOrder { SendingOrder([[parameters[0], parameters[1]], [parameters[2]], [parameters[3]]]) }

  /// The parcels that can be sent after each of these gradients is complete.
  private func sent(_ order: inout SendingOrder, _ completed: [Int]) -> [[Int]] {
    completed.map { index in
      order.complete(parameters[index])
      var parcels: [Int] = []
      while let parcel = order.takeComplete() { parcels.append(parcel) }
      return parcels
    }
  }

  @Test func `a parcel waits for all of its gradients and for the parcels before it`() {
    var order = order
    #expect(sent(&order, [2, 1, 0, 4, 3]) == [[], [], [0, 1], [], [2]])
    #expect(order.take() == nil)
  }

  @Test func `parcels without gradients are taken in the same order, and a restart begins anew`() {
    var order = order
    #expect(sent(&order, [0, 1]) == [[], [0]])
    #expect(order.take() == 1 && order.take() == 2 && order.take() == nil)
    order.restart()
    #expect(sent(&order, [1, 0, 3, 2]) == [[], [0], [], [1, 2]])
  }
}
