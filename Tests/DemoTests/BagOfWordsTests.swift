import Foundation
import Testing

@testable import Demo

/// Counting words is the yardstick: where it is enough, a large model has nothing to teach.
@Suite struct BagOfWordsTests {
  @Test func `counting words gets a reader half-way and no further`() throws {
    let split = try Demo.reviews(trainCount: 4000, validationCount: 1000, seed: 21)
    let classifier = LogisticRegression(split.train, passes: 12, rate: 0.1)
    let correct = split.validation.reduce(0) { $0 + (classifier.label($1.text) == $1.label ? 1 : 0) }
    let accuracy = Double(correct) / Double(split.validation.count)
    #expect(accuracy > 0.60 && accuracy < 0.88, "\(accuracy)")
  }
}

/// Logistic regression over word counts, by plain stochastic gradient descent.
struct LogisticRegression {
  private var index: [String: Int] = [:]
  private var weights: [Double]
  private var bias = 0.0

  init(_ reviews: [Review], passes: Int, rate: Double) {
    for (place, word) in ReviewGenerator.words.enumerated() { index[word] = place }
    weights = Array(repeating: 0, count: index.count)
    let examples = reviews.map { (words: places($0.text), label: Double($0.label)) }
    for pass in 0..<passes {
      let step = rate / Double(1 + pass)
      for example in examples {
        let error = example.label - 1 / (1 + exp(-score(example.words)))
        for word in example.words { weights[word] += step * error }
        bias += step * error
      }
    }
  }

  /// 1 when the words speak for a content reviewer.
  func label(_ text: String) -> Int { score(places(text)) > 0 ? 1 : 0 }

  private func places(_ text: String) -> [Int] { GrammarLabelTests.tokens(text).compactMap { index[$0] } }
  private func score(_ words: [Int]) -> Double { words.reduce(bias) { $0 + weights[$1] } }
}
