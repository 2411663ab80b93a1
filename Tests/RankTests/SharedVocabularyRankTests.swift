import Foundation
import Objectives
import Platform
import Teachers
import TestSupport
import Testing

extension RankTests {
  /// A teacher and a student with padded vocabularies, whose first tokens alone are compared.
  @Suite(.timeLimit(.minutes(3))) struct SharedVocabularyTests {
    /// Fewer than either vocabulary, of 23 and 20: with three tensor shards or more, the last has none of them.
    static let shared = 13

    @Test(arguments: [TeacherSharding.tensor, .pipeline])
    func `every placement and payload gives the resident teacher's losses on the shared tokens`(
      sharding: TeacherSharding
    ) throws {
      let shared = Self.shared
      let tests = PlacedTeacherTests()
      try tests.withDirectory("llama", ["vocab_size": 23]) { folder in
        let reference = try tests.train(tests.resident(folder), folder, shared: shared)
        let all = SignalPayload.topK(23, temperature: 2, among: shared)
        for payload in [SignalPayload.logits, .hidden, all] {
          let curve = try tests.train(tests.sharded(folder, sharding, payload), folder, shared: shared)
          tests.expectAlike(curve, reference, "\(sharding) \(payload.name)")
          for teachers in 1..<max(1, world.size) {
            let run = try tests.trainDedicated(folder, sharding, payload, teachers: teachers, shared: shared)
            if let run { tests.expectAlike(run.curve, reference, "\(teachers) teachers, \(sharding) \(payload.name)") }
          }
        }
        let few = SignalPayload.topK(4, temperature: 2, among: shared)
        let curve = try tests.train(tests.sharded(folder, sharding, few), folder, shared: shared)
        #expect(zip(curve, reference).allSatisfy { $0.isFinite && $0 >= 0 && abs($0 - $1) < 0.5 * abs($1) })
      }
    }
  }
}
