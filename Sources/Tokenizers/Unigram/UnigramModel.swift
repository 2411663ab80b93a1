import Platform

/// The unigram language model of SentencePiece (Kudo, 2018): a word becomes the tokens t₁…tₙ with the largest
/// Σ score(tᵢ), found by Viterbi's algorithm.
///
/// A character that is not a token itself is an unknown token with the score min(scores) − 10. Adjacent unknown tokens
/// become one, which byte fallback replaces by the tokens of its bytes, `<0x00>`…`<0xFF>`.
struct UnigramModel: SubwordModel {
  let vocabulary: Vocabulary
  /// The log-probability of each token; [vocabulary.size].
  private let scores: [Double]
  private let unknown: Int32
  private let unknownScore: Double
  private let byteFallback: Bool
  /// The token of each byte; -1 if there is none.
  private let byteTokens: [Int32]

  /// The amount by which an unknown character is less likely than the least likely token.
  private static let unknownPenalty = 10.0

  /// - Parameter scores: finite, one for each id.
  init(vocabulary: Vocabulary, scores: [Double], unknown: Int32, byteFallback: Bool) {
    precondition(scores.count == vocabulary.size, "Unigram: \(scores.count) scores, \(vocabulary.size) ids")
    self.vocabulary = vocabulary
    self.scores = scores
    self.unknown = unknown
    self.byteFallback = byteFallback
    unknownScore = (scores.min() ?? 0) - UnigramModel.unknownPenalty
    byteTokens = (0..<256).map { vocabulary.id(of: BPEModel.fallbackToken(UInt8($0))) ?? -1 }
  }

  func add(to digest: Digest) {
    digest.update("unigram \(unknown) \(byteFallback)")
    vocabulary.add(to: digest)
    scores.withUnsafeBytes(digest.update(_:))
  }

  func encode(_ text: UnsafeBufferPointer<UInt8>, words: [Range<Int>], into ids: inout [Int32]) {
    var lattice = Lattice()
    defer { lattice.free() }
    scores.withUnsafeBufferPointer { scores in
      vocabulary.trie.withSearch { search in
        var output = Output(sink: IDSink(ids: ids))
        ids = []
        for word in words where !word.isEmpty {
          encode(UnsafeBufferPointer(rebasing: text[word]), search, scores, &lattice, into: &output)
        }
        swap(&ids, &output.sink.ids)
      }
    }
  }

  func spans(of word: UnsafeBufferPointer<UInt8>) -> [TokenSpan] {
    var lattice = Lattice()
    defer { lattice.free() }
    var output = Output(sink: SpanSink())
    scores.withUnsafeBufferPointer { scores in
      vocabulary.trie.withSearch { encode(word, $0, scores, &lattice, into: &output) }
    }
    return output.sink.spans
  }

  /// Finds the best path through a word.
  ///
  /// A position that no token crosses is on every path, so the path up to it is final; the lattice holds only what
  /// follows the last such position. Scores are added from the beginning of the word, since the order of additions
  /// decides between paths of nearly equal scores.
  private func encode<Sink: TokenSink>(
    _ word: UnsafeBufferPointer<UInt8>, _ search: ByteTrie.Search, _ scores: UnsafeBufferPointer<Double>,
    _ lattice: inout Lattice, into output: inout Output<Sink>
  ) {
    lattice.start(score: 0)
    var base = 0
    var index = 0
    while index < word.count {
      let end = UTF8Text.end(ofScalarAt: index, in: word)
      let score = lattice.score(at: index - base)
      var isCharacterKnown = false
      search.prefixes(of: word, from: index) { token, tokenEnd in
        if tokenEnd == end { isCharacterKnown = true }
        lattice.offer(token, from: index - base, to: tokenEnd - base, score: scores[Int(token)] + score)
      }
      if !isCharacterKnown {
        lattice.offer(unknown, from: index - base, to: end - base, score: unknownScore + score)
      }
      index = end
      if lattice.last == index - base {
        let total = lattice.score(at: index - base)
        lattice.walk { start, end, id in add(id, base + start..<base + end, of: word, to: &output) }
        lattice.start(score: total)
        base = index
      }
    }
    finishUnknown(of: word, in: &output)
  }

  /// The tokens found, and the unknown characters at their end, which are not added before the next known token.
  private struct Output<Sink: TokenSink> {
    var sink: Sink
    var unknown: Range<Int>?
  }

  @inline(__always)
  private func add<Sink: TokenSink>(
    _ id: Int32, _ range: Range<Int>, of word: UnsafeBufferPointer<UInt8>, to output: inout Output<Sink>
  ) {
    if id == unknown {
      output.unknown = (output.unknown?.lowerBound ?? range.lowerBound)..<range.upperBound
      return
    }
    if output.unknown != nil { finishUnknown(of: word, in: &output) }
    output.sink.add(id, range)
  }

  private func finishUnknown<Sink: TokenSink>(of word: UnsafeBufferPointer<UInt8>, in output: inout Output<Sink>) {
    guard let range = output.unknown else { return }
    output.unknown = nil
    let bytes = UnsafeBufferPointer(rebasing: word[range])
    // The library looks up the joined characters; they can be a token with a low score.
    if let id = vocabulary.trie.value(of: bytes) {
      output.sink.add(id, range)
    } else if byteFallback, bytes.allSatisfy({ byteTokens[Int($0)] >= 0 }) {
      for byte in bytes { output.sink.add(byteTokens[Int(byte)], range) }
    } else {
      output.sink.add(unknown, range)
    }
  }
}

/// Receives the tokens of a word, each with its bytes in the word.
private protocol TokenSink {
  mutating func add(_ id: Int32, _ range: Range<Int>)
}

private struct IDSink: TokenSink {
  var ids: [Int32]

  @inline(__always)
  mutating func add(_ id: Int32, _ range: Range<Int>) { ids.append(id) }
}

private struct SpanSink: TokenSink {
  var spans: [TokenSpan] = []

  mutating func add(_ id: Int32, _ range: Range<Int>) { spans.append(TokenSpan(id: id, range: range)) }
}

/// The best path to each position after a common start: its score, its last token and where that token begins.
private struct Lattice {
  private struct Node {
    var score: Double
    /// -1 before any token ends here.
    var start: Int32
    var token: Int32
  }

  private var nodes: UnsafeMutablePointer<Node>
  private var capacity = 256
  /// The tokens of the path that `walk` follows, the last first.
  private var path: [Int32] = []
  /// The last position at which a token ends.
  private(set) var last = 0

  init() { nodes = .allocate(capacity: capacity) }

  func free() { nodes.deallocate() }

  /// Begins a new lattice at position 0.
  mutating func start(score: Double) {
    last = 0
    nodes[0] = Node(score: score, start: 0, token: -1)
  }

  @inline(__always)
  func score(at position: Int) -> Double { nodes[position].score }

  /// Keeps the token if no earlier one gives position `end` at least this score.
  @inline(__always)
  mutating func offer(_ token: Int32, from start: Int, to end: Int, score: Double) {
    if end > last { extend(to: end) }
    let node = nodes + end
    if node.pointee.start < 0 || score > node.pointee.score {
      node.pointee = Node(score: score, start: Int32(truncatingIfNeeded: start), token: token)
    }
  }

  private mutating func extend(to end: Int) {
    if end >= capacity {
      let larger = UnsafeMutablePointer<Node>.allocate(capacity: 2 * (end + 1))
      larger.update(from: nodes, count: last + 1)
      nodes.deallocate()
      nodes = larger
      capacity = 2 * (end + 1)
    }
    for position in last + 1...end { nodes[position] = Node(score: 0, start: -1, token: -1) }
    last = end
  }

  /// Passes the tokens of the best path to the last position, in order.
  @inline(__always)
  mutating func walk(_ visit: (_ start: Int, _ end: Int, _ token: Int32) -> Void) {
    if nodes[last].start == 0 { return visit(0, last, nodes[last].token) }
    path.removeAll(keepingCapacity: true)
    var position = last
    while position > 0 {
      path.append(Int32(truncatingIfNeeded: position))
      position = Int(nodes[position].start)
    }
    for end in path.reversed() {
      let node = nodes[Int(end)]
      visit(Int(node.start), Int(end), node.token)
    }
  }
}
