import Collectives
import Platform
import Testing

/// The tests that run on any number of ranks: under mpirun on all of them, and alone on the solo twin.
///
///     swift build --build-tests
///     mpirun -n 4 .build/debug/retortPackageTests.xctest --testing-library swift-testing --filter RankTests
///
/// How to add one:
/// - Nest it here, in a file of its own: `extension RankTests { @Suite struct ThingTests { … } }`. Being inside one
///   serialized suite gives all ranks the same tests in the same order, one at a time.
/// - Take the ranks from `RankTests.world` (or `groups()`, to run on parts of them too), and let the expectation
///   depend on `size`, so that it holds for every number of ranks, 1 included.
/// - Tests are synchronous and every rank runs every collective: no `await`, and no `#require`, `throw` or early
///   return between collectives that only some ranks would take. Use `#expect`, or `world.agree`.
/// - Restore what the test changes in `world` (its `chunking`).
///
/// Each test begins with a comparison of its name over ranks, so that ranks out of step fail instead of mixing data.
@Suite(.serialized, .inStep)
struct RankTests {}

extension RankTests {
  /// All ranks of this run. Not Sendable: the suite is serialized, so one test at a time uses it.
  nonisolated(unsafe) static let world: any Communicator = {
    do { return try MPISession.start(threading: .oneAtATime) } catch {
      print("the ranks cannot start: \(error)")
      MPISession.abort(RetortError.wrap(error).kind.rawValue)
    }
  }()

  /// The world, its halves (with their ranks in reverse order), and each rank alone.
  static func groups() throws -> [any Communicator] {
    [world, try world.split(color: world.rank % 2, key: -world.rank), try world.split(color: world.rank, key: 0)]
  }
}

/// Compares the test's name over ranks before it runs.
struct InStep: SuiteTrait, TestTrait, TestScoping {
  var isRecursive: Bool { true }

  func provideScope(
    for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
  ) async throws {
    // Suites have no case of their own; comparing the tests is enough.
    if testCase != nil { try InStep.compare("\(test.id)") }
    try await function()
  }

  private static func compare(_ name: String) throws { try RankTests.world.requireEqual(name, label: "the test") }
}

extension Trait where Self == InStep {
  static var inStep: Self { InStep() }
}
