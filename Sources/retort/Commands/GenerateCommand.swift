import ArgumentParser
import Chains
import Collectives
import Foundation
import Models
import Platform
import Safetensors
import Tensors
import Tokenizers

struct GenerateCommand: RankCommand {
  static let configuration = CommandConfiguration(
    commandName: "generate",
    abstract: "Continues a text with a language model, writing it as it comes.",
    discussion: """
      The most likely token is taken unless --temperature, --top-k or --top-p asks for a draw; draws depend on --seed \
      and on nothing else. The text ends with the model's eos_token_id, after --max-new-tokens, or where its context \
      does.

      Example:
        retort generate ./artifacts/small --prompt "Once upon a time" --temperature 0.8 --top-p 0.9 --seed 7
      """)

  @Argument(help: "A model directory, or a hub id that is found locally.") var model: String
  @Option(help: "The text to go on from; an empty one begins with the model's first token.") var prompt: String?
  @Option(help: "A file with the text to go on from, or - for standard input.") var promptFile: String?
  @Option(help: "Token ids to go on from, separated by commas; ids are written then.") var ids: String?
  @Option(help: "New tokens at most.") var maxNewTokens = 256
  @Option(help: "Divides the logits before a draw; 0: no draw. (default: 1 with --top-k or --top-p, else 0)")
  var temperature: Double?
  @Option(help: "Draws from the K most likely tokens.") var topK: Int?
  @Option(help: "Draws from the most likely tokens that together have this share.") var topP: Double?
  @Option(help: "Decides the draws.") var seed: UInt64 = 0
  @Option(help: "fp32, bf16, or auto: bf16 where the CPU multiplies it natively.")
  var precision: PrecisionOption = .auto
  @Option(help: "A directory in which hub ids are looked for (default: RETORT_MODELS).") var modelsRoot: String?

  func validate() throws {
    if [prompt, promptFile, ids].compactMap({ $0 }).count != 1 {
      throw ValidationError("give one of --prompt, --prompt-file and --ids")
    }
    try requireOption("--max-new-tokens", maxNewTokens, 1...largestCount)
    if let temperature, !(temperature == 0 || (1e-6...1e6).contains(temperature)) {
      throw ValidationError("--temperature is \(temperature), 0 or 0.000001 to 1000000 was expected")
    }
    try requireOption("--top-k", topK, 1...largestCount)
    if let topP, !(topP > 0 && topP <= 1) { throw ValidationError("--top-p is above 0 and at most 1, not \(topP)") }
    if let ids, GenerateCommand.numbers(ids) == nil {
      throw ValidationError("--ids is a list of numbers such as 1,306,29, not \(ids)")
    }
  }

  /// The first rank generates; a sequence is no work for several.
  func run(on communicator: any Communicator) throws {
    let directory = try locateModel(model, modelsRoot, on: communicator)
    let precision = try precision.resolved(on: communicator)
    var failure: RetortError?
    if communicator.isFirst {
      do { try generate(directory, precision) } catch { failure = RetortError.wrap(error) }
    }
    // No rank is to blame: the others would have failed alike.
    try communicator.share(failure)
  }

  private func generate(_ directory: String, _ precision: Precision) throws {
    let opened = try ModelDirectory(directory, for: .answers)
    let configuration = opened.configuration
    // Ids need none, not even a whole one.
    let tokenizer = try ids == nil ? loadTokenizer(fromModelDirectory: directory) : nil
    let start = try promptTokens(tokenizer, configuration)
    let frozen = try FrozenModel(
      configuration, from: .checkpoint(opened.weights), seed: 0, precision: precision, packs: false)
    guard let model = frozen.model as? any LanguageModel else {
      throw RetortError(
        .input, "a \(configuration.family.rawValue) model generates no text", at: directory,
        remedy: "name a language model; classifiers answer to retort predict")
    }
    Terminal.warn(
      of: opened.warnings(frozen.report) + (tokenizer?.remarks ?? [])
        + configuration.unfollowed(inModelDirectory: directory))
    frozen.fill(Storage(untouchedZeros: frozen.byteCount))
    let generator = Generator(
      model, contextLength: configuration.maximumPositions ?? Int.max, precision: precision)
    let stops = try configuration.stopTokens(inModelDirectory: directory)
    try generator.check(start)
    var output = TokenOutput(tokenizer)
    output.write(start)
    // What was written ends with its line, also where an error follows.
    let result = Result {
      try generator.generate(after: start, limit: maxNewTokens, stops: stops, sampling) {
        output.write([$0])
        // Tokens that nobody can read are not worth their time.
        try Terminal.requireWritten()
      }
    }
    output.finish()
    try Terminal.requireWritten()
    Terminal.write("retort: \(summary(try result.get(), prompt: start.count))\n", toError: true)
  }

  private var sampling: Sampling {
    let asks = topK != nil || topP != nil
    return Sampling(temperature: temperature ?? (asks ? 1 : 0), topK: topK, topP: topP ?? 1, seed: seed)
  }

  private func promptTokens(_ tokenizer: (any Tokenizer)?, _ configuration: ModelConfiguration) throws -> [Int32] {
    if let ids { return GenerateCommand.numbers(ids) ?? [] }
    guard let tokenizer else {
      throw RetortError(
        .input, "the model has no tokenizer, so it cannot read text", at: model,
        remedy: "put its tokenizer.json beside config.json, or give --ids")
    }
    let text = try prompt ?? promptFile.map(StreamedInput.text) ?? ""
    let encoding = tokenizer.encode(text)
    if tokenizer.repeatsLeadingToken(encoding) {
      let name = tokenizer.decode([encoding.ids[0]], skipSpecialTokens: false)
      Terminal.write(
        "retort: the prompt begins with \(name), which the tokenizer puts before each text: it stands there twice\n",
        toError: true)
    }
    let tokens = encoding.ids
    return try tokens.isEmpty ? configuration.startToken().map { [$0] } ?? [] : tokens
  }

  private func summary(_ result: GenerationResult, prompt: Int) -> String {
    let end: String
    switch result.end {
    case .stopToken(let token): end = "the model ended the text (token \(token))"
    case .limit: end = "--max-new-tokens \(maxNewTokens) reached"
    case .context: end = "the model's context is full"
    }
    var text = "\(result.tokens.count) new tokens, \(end); prompt of \(prompt) in \(fixed(result.seconds.prompt, 3)) s"
    if result.steps > 0 { text += ", then \(fixed(Double(result.steps) / result.seconds.decoding, 1)) tokens/s" }
    return text
  }

  private static func numbers(_ text: String) -> [Int32]? {
    let parts = text.split(separator: ",", omittingEmptySubsequences: false).map { part in
      Int32(part.trimmingCharacters(in: .whitespaces))
    }
    return parts.contains(nil) ? nil : parts.compactMap { $0 }
  }
}

/// Writes tokens as text, or as ids where there is no tokenizer.
private struct TokenOutput {
  private var stream: TextStream?
  private var isEmpty = true

  init(_ tokenizer: (any Tokenizer)?) { stream = tokenizer.map { TextStream($0) } }

  mutating func write(_ tokens: [Int32]) {
    if let text = stream?.append(tokens) {
      Terminal.write(text)
    } else {
      Terminal.write((isEmpty ? "" : ",") + tokens.map(String.init).joined(separator: ","))
    }
    isEmpty = false
  }

  mutating func finish() { Terminal.write((stream?.finish() ?? "") + "\n") }
}
