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
    abstract: "Continues a text with a language model and writes each token at once.",
    discussion: """
      Takes the most likely token, or samples with --temperature, --top-k or --top-p; samples depend only on --seed. \
      The text ends with the model's eos_token_id, after --max-new-tokens, or at the end of its context.

      Example:
        retort generate ./artifacts/small --prompt "Once upon a time" --temperature 0.8 --top-p 0.9 --seed 7
      """)

  @Argument(help: "A model directory, or a hub id that is found locally.") var model: String
  @Option(help: "The text to continue; an empty one begins with the model's first token.") var prompt: String?
  @Option(help: "A file with the text to continue, or - for standard input.") var promptFile: String?
  @Option(help: "Token ids to continue, separated by commas; the output is then ids too.") var ids: String?
  @Option(help: "The most new tokens.") var maxNewTokens = 256
  @Option(help: "Divides the logits before sampling; 0: no sampling. (default: 1 with --top-k or --top-p, else 0)")
  var temperature: Double?
  @Option(help: "Samples from the K most likely tokens.") var topK: Int?
  @Option(help: "Samples from the fewest most likely tokens with this total probability.") var topP: Double?
  @Option(help: "The seed of sampling.") var seed: UInt64 = 0
  @Option(help: "fp32, bf16, or auto: bf16 if the CPU multiplies it natively.")
  var precision: PrecisionOption = .auto
  @Option(help: "A directory in which hub ids are searched (default: RETORT_MODELS).") var modelsRoot: String?

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

  /// Only the first rank generates, since one sequence cannot use several.
  func run(on communicator: any Communicator) throws {
    let directory = try locateModel(model, modelsRoot, on: communicator)
    let precision = try precision.resolved(on: communicator)
    var failure: RetortError?
    if communicator.isFirst {
      do { try generate(directory, precision) } catch { failure = RetortError.wrap(error) }
    }
    // The error names no rank, since all would have failed in the same way.
    try communicator.share(failure)
  }

  private func generate(_ directory: String, _ precision: Precision) throws {
    let opened = try ModelDirectory(directory, for: .answers)
    let configuration = opened.configuration
    // With --ids no tokenizer is read, so a broken one does no harm.
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
    // The output ends with a newline even if an error follows.
    let result = Result {
      try generator.generate(after: start, limit: maxNewTokens, stops: stops, sampling) {
        output.write([$0])
        // Stop when the output is lost.
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
        "retort: the prompt begins with \(name), which the tokenizer also puts before each text: it occurs twice\n",
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

/// Writes tokens as text, or as ids without a tokenizer.
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
