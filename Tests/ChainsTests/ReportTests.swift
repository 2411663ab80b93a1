import Platform
import Testing

@testable import Chains

@Suite struct ReportTests {
  private func step(_ id: String, _ metric: String, _ correct: Int?, _ count: Int) -> StepReport {
    StepReport(
      id: id, model: "bert", parameters: 1, ratio: 1, teacher: nil, metric: metric,
      value: correct.map { Double($0) / Double(count) } ?? 0.5, correct: correct, count: count, seconds: 1,
      examplesPerSecond: 1, wasCommitted: false)
  }

  @Test func `each accuracy has its interval, and each pair its own smallest difference`() {
    let text = ChainReport(
      name: "c", steps: [step("big", "accuracy", 990, 1000), step("small", "accuracy", 500, 1000)]
    ).text
    #expect(text.contains("  big    0.9817 to 0.9946"), "\(text)")
    #expect(text.contains("  small  0.4691 to 0.5309"), "\(text)")
    #expect(text.contains("small - big    -49.0 of 3.2: says something"), "\(text)")
    #expect(!text.contains("standard error"))
  }

  @Test func `a difference within chance says nothing, also between perfect models of few examples`() {
    let text = ChainReport(name: "c", steps: [step("a", "accuracy", 7, 8), step("b", "accuracy", 8, 8)]).text
    #expect(text.contains("b - a  +12.5 of") && text.contains("says nothing"), "\(text)")
  }

  @Test func `metrics that are no shares get no interval`() {
    let report = ChainReport(
      name: "c", steps: [step("a", "f1", nil, 100), step("b", "perplexity", nil, 100), step("c", "f1", 50, 100)])
    #expect(!report.text.contains("95 %"), "\(report.text)")
    #expect(report.steps.allSatisfy { $0.json["interval"] == .null })
    #expect(step("a", "accuracy", 8, 10).json["interval"]?.array?.count == 2)
  }

  @Test(arguments: [1e308, -1e308, 0x1p63, .infinity, .nan, 0])
  func `a record's numbers are written whatever they are`(value: Double) throws {
    let results: JSON = [
      "model": "m", "parameters": .int(.max), "ratio": .double(value), "metric": "accuracy", "value": .double(value),
      "correct": .int(.min), "count": .int(.max), "seconds": .double(value), "examples_per_s": .double(value),
      "tokens_per_s": .double(value), "gflops": .double(value), "mfu": .double(value), "counts_tokens": true,
    ]
    let report = try #require(StepReport.committed(results, id: "a"))
    #expect(!report.rateText.isEmpty && !report.countText.isEmpty && !report.json.text().isEmpty)
    #expect(ChainReport(name: "c", steps: [report, report]).text.contains("accuracy"))
  }

  @Test func `many rows are compared with the one before`() {
    let text = ChainReport(name: "c", steps: (0..<6).map { step("s\($0)", "accuracy", 50 + $0, 100) }).text
    #expect(text.contains("s5 - s4") && !text.contains("s5 - s3"))
  }
}
