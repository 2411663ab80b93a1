import Testing

@testable import Training

@Suite struct EntityScoreTests {
  /// Tags, and the entities that seqeval 1.2.2 finds in them.
  private static let cases = [
    "O B-A I-A B-B I-B | A:1-3 B:3-5", "B-A B-A O I-A I-A I-A | A:0-1 A:1-2 A:3-6", "O I-A B-A O | A:1-2 A:2-3",
    "B-B I-A B-B O B-A I-B | B:0-1 A:1-2 B:2-3 A:4-5 B:5-6", "B-A E-A S-B I-B | A:0-2 B:2-3 B:3-4", "O E-B | B:1-2",
    "B-A I-A E-A I-A | A:0-3 A:3-4", "E-A E-A I-A I-B I-A O E-A I-A | A:0-1 A:1-2 A:2-3 B:3-4 A:4-5 A:6-7 A:7-8",
    "I-B S-B B-A S-B S-A I-B E-A | B:0-1 B:1-2 A:2-3 B:3-4 A:4-5 B:5-6 A:6-7", "B-A-x I-A-x O | A-x:0-2",
    "I-A-x O-A . B_A AB I-A-x E | A-x:0-1 _A:3-4 B:4-5 A-x:5-6 _:6-7", "A O-A B O E | _:0-1 _:2-3 _:4-5",
    "O A I-A-x AB S AB I X-A O | _:0-2 A-x:2-3 B:3-4 _:4-5 B:5-6 _:6-7 A:7-8", "X-A B I E AB A . O | A:0-1 _:1-4 B:4-5",
    "O O O | ", "I-PER | PER:0-1",
  ]

  @Test(arguments: cases) func `entities are those of seqeval`(_ line: String) {
    let parts = line.split(separator: "|", omittingEmptySubsequences: false).map { $0.split(separator: " ") }
    let found = EntityTags.entities(in: parts[0].map(String.init))
    #expect(found.map { "\($0.type):\($0.range.lowerBound)-\($0.range.upperBound)" } == parts[1].map(String.init))
  }

  @Test func `no tags have no entities, and a number that is no tag is outside`() {
    #expect(EntityTags.entities(in: []).isEmpty)
    #expect(EntityTags.entities(in: ["", "B-A", ""]).map(\.range) == [1..<2])
    let tags = EntityTags(["O", "B-A", "I-A"])
    #expect(tags.types == ["A"])
    #expect(tags.entities(in: [1, 2, 7, 2, -100]) == [Entity(type: 0, range: 0..<2), Entity(type: 0, range: 3..<4)])
  }

  @Test func `figures are those of seqeval, and counts of parts add up`() {
    let tags = EntityTags(["O", "B-LOC", "I-LOC", "B-PER", "I-PER", "B-ORG"])
    #expect(tags.types == ["LOC", "ORG", "PER"])
    var parts = [EntityScores(types: tags.types), EntityScores(types: tags.types)]
    // One right LOC and one with a wrong end; one PER right, one as LOC.
    parts[0].add(predicted: [1, 2, 0, 1, 0], gold: [1, 2, 0, 1, 2], tags)
    parts[1].add(predicted: [3, 4, 0, 1], gold: [3, 4, 0, 3], tags)
    let all = EntityScores(types: tags.types, counts: zip(parts[0].counts, parts[1].counts).map(+))
    #expect(all.counts == [1, 3, 2, 0, 0, 0, 1, 1, 2])
    #expect(all.micro == MatchCounts(correct: 2, predicted: 4, gold: 4) && all.micro.f1 == 0.5)
    #expect(abs(all.score(ofType: 0).precision - 1 / 3) < 1e-15 && all.score(ofType: 0).recall == 0.5)
    #expect(all.score(ofType: 0).f1 == 0.4 && abs(all.score(ofType: 2).f1 - 2 / 3) < 1e-15)
    // ORG, which occurs nowhere, does not count.
    #expect(abs(all.macro.precision - 2 / 3) < 1e-15 && all.macro.recall == 0.5)
    #expect(abs(all.macro.f1 - (0.4 + 2 / 3) / 2) < 1e-15)
    let none = EntityScores(types: ["A"])
    #expect(none.micro.f1 == 0 && none.micro.precision == 0 && none.macro.f1 == 0)
  }
}

@Suite struct CorrelationTests {
  @Test func `correlations are those of scipy`() throws {
    // scipy.stats.pearsonr and spearmanr.
    let x = [1.0, 2.5, 2.5, 4.0, 0.5, 3.0]
    let y = [0.9, 2.0, 3.1, 3.9, 1.0, 1.0]
    #expect(abs(try #require(Correlation.pearson(x, y)) - 0.7286732117030125) < 1e-12)
    #expect(abs(try #require(Correlation.spearman(x, y)) - 0.6470588235294118) < 1e-12)
    #expect(Correlation.ranks(x) == [2, 3.5, 3.5, 6, 1, 5])
    #expect(abs(Correlation.meanSquaredError(x, y) - 0.8133333333333334) < 1e-12)
    #expect(Correlation.meanSquaredError([Double](), []) == 0)
    #expect(abs(try #require(Correlation.pearson([1 as Float, 2, 4], [-2, -4, -8])) + 1) < 1e-12)
    #expect(abs(try #require(Correlation.spearman([1 as Float, 2, 4], [1, 20, 21])) - 1) < 1e-12)
    #expect(Correlation.meanSquaredError([1 as Float, 2], [1, 4]) == 2)
  }

  @Test func `size and distance from zero do not matter`() throws {
    let x = [1.0, 2, 4, 3]
    let y = [1.0, 3, 3, 2]
    let r = try #require(Correlation.pearson(x, y))
    #expect(abs(try #require(Correlation.pearson(x.map { $0 * 1e300 }, y.map { $0 * 1e-300 })) - r) < 1e-12)
    #expect(abs(try #require(Correlation.pearson(x.map { $0 + 1e6 }, y)) - r) < 1e-9)
  }

  @Test func `a correlation that is not defined is nil`() throws {
    #expect(Correlation.pearson([0.1, 0.1, 0.1], [1, 2, 3]) == nil && Correlation.spearman([1, 2], [3.0, 3]) == nil)
    #expect(Correlation.pearson([1.0], [2]) == nil && Correlation.spearman([Double](), []) == nil)
    #expect(
      Correlation.pearson([1, Double.nan, 2], [1, 2, 3]) == nil
        && Correlation.spearman([1, Double.nan, 2], [1, 2, 3]) == nil)
    #expect(Correlation.pearson([1, Double.infinity, 2], [1, 3, 2]) == nil)
    #expect(abs(try #require(Correlation.spearman([1, Double.infinity, 2], [1, 3, 2])) - 1) < 1e-12)
  }
}

@Suite struct LabelSetScoreTests {
  @Test func `figures are those of scikit-learn, and counts of parts add up`() {
    var parts = [LabelSetScores(labelCount: 3), LabelSetScores(labelCount: 3)]
    parts[0].add(predicted: [true, false, false], gold: [true, true, false])
    parts[0].add(predicted: [false, false, false], gold: [false, false, false])
    parts[1].add(predicted: [true, true, false], gold: [false, true, false])
    let all = LabelSetScores(labelCount: 3, counts: zip(parts[0].counts, parts[1].counts).map(+))
    #expect(all.counts == [1, 2, 1, 1, 1, 2, 0, 0, 0, 1, 3])
    #expect(all.micro == MatchCounts(correct: 2, predicted: 3, gold: 3))
    #expect(abs(all.subsetAccuracy - 1 / 3) < 1e-15 && all.rowCount == 3)
    // The third label, which no row has, counts as 0.
    #expect(abs(all.macro.f1 - (2 / 3 + 2 / 3 + 0) / 3) < 1e-15 && abs(all.macro.precision - 0.5) < 1e-15)
    let none = LabelSetScores(labelCount: 2)
    #expect(none.micro.f1 == 0 && none.macro.recall == 0 && none.subsetAccuracy == 0)
  }
}
