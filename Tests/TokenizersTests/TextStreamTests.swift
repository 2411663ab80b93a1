import Testing

@testable import Tokenizers

extension BytePairTests {
  /// What a stream gives out for each token, and at the end.
  private func streamed(_ ids: [Int32], _ tokenizer: any Tokenizer) -> [String] {
    var stream = TextStream(tokenizer)
    return ids.map { stream.append([$0]) } + [stream.finish()]
  }

  @Test func `text comes with the token that completes a character`() throws {
    let tokenizer = try Self.tokenizer(Self.byteLevel([]))
    let text = "né €uro 🙂 " + String(repeating: "und weiter, ", count: 8) + "Ende"
    let ids = tokenizer.encode(text).ids
    let parts = streamed(ids, tokenizer)
    #expect(parts.joined() == text)
    // A byte a token: é has two.
    #expect(Array(parts.prefix(4)) == ["n", "", "é", " "])
    // What stays unfinished is said at the end.
    let cut = streamed(Array(ids.prefix(2)), tokenizer)
    #expect(cut == ["n", "", "\u{fffd}"])
  }

  @Test func `marks of spaces are text inside a stream and nothing at its start`() throws {
    let tokenizer = try Self.tokenizer(Self.metaspace([["a", "b"]], letters: ["▁", "a", "b", "c"]))
    let text = String(repeating: "ab c ", count: 30) + "a"
    let ids = tokenizer.encode(text).ids
    #expect(streamed(ids, tokenizer).joined() == tokenizer.decode(ids, skipSpecialTokens: true))
  }
}
