import CKernels
import Collectives
import Platform
import Tensors

/// The sum of a lane's part over nodes in messages of bf16, two bytes an element.
///
///     sent to node m     w = bf16(g + e), e ← g + e − w     g: this node's sum of block m, e: left out earlier
///     own block          Σ over nodes, in their order, of w, and of this node's g unrounded, in float32
///
/// e is the error feedback of Seide et al. (2014): what is rounded away in one step is sent in a later one.
final class RoundedLaneSum {
  private let lane: any Communicator
  private let part: Tensor
  private let sent: Tensor
  private let received: Tensor
  private var operations: [PendingOperation] = []
  private var block: Int { part.count / lane.size }
  /// Elements that are converted at a time, in the cache.
  private static let width = 2048

  /// Starts the messages.
  ///
  /// - Parameters:
  ///   - part: this node's sums of N blocks; block n, this rank's, receives the sum over nodes.
  ///   - errors: e, of the part's size.
  ///   - tag: of the messages, equal on all nodes and different from other sums in flight.
  init(_ part: Tensor, errors: Tensor, tag: Int, on lane: any Communicator) throws {
    (self.part, self.lane) = (part, lane)
    sent = Tensor(uninitialized: [part.count], .bfloat16)
    received = Tensor(uninitialized: [part.count], .bfloat16)
    for node in 0..<lane.size where node != lane.rank {
      operations.append(try lane.iReceive(bytes(received, node), from: node, tag: tag, keeping: received.storage))
    }
    for node in 0..<lane.size where node != lane.rank {
      round(node * block..<(node + 1) * block, errors)
      let words = UnsafeBufferPointer(bytes(sent, node))
      operations.append(try lane.iSend(words, to: node, tag: tag, keeping: sent.storage))
    }
  }

  /// Whether all messages have arrived; lets them move.
  func test() throws -> Bool { try operations.testAll() }

  /// Waits for all messages.
  func wait() throws { try operations.waitAll() }

  /// Sums the blocks of all nodes into this rank's block, which it returns.
  func sum() -> Tensor {
    let own = part.slice(at: lane.rank * block, [block])
    ThreadTeam.split(block, unit: 64, cost: 2 * lane.size) { range in
      withUnsafeTemporaryAllocation(of: Float.self, capacity: 2 * RoundedLaneSum.width) { room in
        guard let total = room.baseAddress else { return }
        let wide = total + RoundedLaneSum.width
        for start in stride(from: range.lowerBound, to: range.upperBound, by: RoundedLaneSum.width) {
          let count = min(RoundedLaneSum.width, range.upperBound - start)
          for node in 0..<lane.size {
            var source = own.floats + start
            if node != lane.rank {
              rtk_bf16_to_f32(wide, received.bf16Words + node * block + start, count)
              source = wide
            }
            if node == 0 { total.update(from: source, count: count) } else { rtk_add(total, total, source, count) }
          }
          (own.floats + start).update(from: total, count: count)
        }
      }
    }
    return own
  }

  private func round(_ range: Range<Int>, _ errors: Tensor) {
    ThreadTeam.split(range.count, unit: 64, cost: 6) { piece in
      withUnsafeTemporaryAllocation(of: Float.self, capacity: RoundedLaneSum.width) { room in
        guard let wide = room.baseAddress else { return }
        let (first, end) = (range.lowerBound + piece.lowerBound, range.lowerBound + piece.upperBound)
        for start in stride(from: first, to: end, by: RoundedLaneSum.width) {
          let count = min(RoundedLaneSum.width, end - start)
          let (e, words) = (errors.floats + start, sent.bf16Words + start)
          rtk_add(e, e, part.floats + start, count)
          rtk_f32_to_bf16(words, e, count)
          rtk_bf16_to_f32(wide, words, count)
          rtk_scale(wide, -1, count)
          rtk_add(e, e, wide, count)
        }
      }
    }
  }

  private func bytes(_ words: Tensor, _ node: Int) -> UnsafeMutableBufferPointer<UInt8> {
    let start = UnsafeMutableRawPointer(words.bf16Words + node * block).assumingMemoryBound(to: UInt8.self)
    return UnsafeMutableBufferPointer(start: start, count: 2 * block)
  }
}
