import Platform
import TestSupport
import Testing

@testable import Safetensors

@Suite("Real files")
struct RealFilesTests {
  @Test(
    "a small Llama has its 260,032 parameters, all finite",
    .enabled(if: Shared.path("data/stories260K/model.safetensors") != nil, "the shared data is not here"))
  func stories() throws {
    let directory = try #require(Shared.path("data/stories260K"))
    let source = try openWeights(inModelDirectory: directory)
    let tensors = try source.names.map(source.tensor)
    #expect(tensors.reduce(0) { $0 + $1.count } == 260_032)
    #expect(tensors.allSatisfy { $0.floats().allSatisfy(\.isFinite) })
  }
}
