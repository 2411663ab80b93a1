import Foundation
import Platform

// Built with COVERAGE and -sanitize=fuzzer, libFuzzer chooses the damage by what it reaches in the readers.
#if COVERAGE
  @_silgen_name("LLVMFuzzerRunDriver")
  private func runLibFuzzer(
    _ count: UnsafeMutablePointer<Int32>,
    _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>>,
    _ read: @convention(c) (UnsafePointer<UInt8>?, Int) -> Int32
  ) -> Int32

  /// The reader that libFuzzer's calls, which have no room for it, come to.
  nonisolated(unsafe) private var current: Reader?

  /// Has libFuzzer damage the files of a kind for some seconds; whether nothing was found.
  func cover(_ kind: Kind, seconds: Int, _ options: Options) throws -> Bool {
    let corpus = joinPath(options.place, "corpus")
    for (index, seed) in kind.seeds.enumerated() { try write(seed, to: joinPath(corpus, "seed-\(index)")) }
    try makeDirectory(options.keep)
    current = try Reader(kind, in: joinPath(options.place, "files"), isLimited: false)
    let name = kind.name.replacing("/", with: "-")
    let words = [
      "fuzz", corpus, "-max_total_time=\(seconds)", "-timeout=20", "-rss_limit_mb=1024", "-malloc_limit_mb=256",
      "-max_len=65536", "-seed=\(options.seed)", "-verbosity=0", "-print_final_stats=1",
      "-artifact_prefix=\(joinPath(options.keep, name))-",
    ]
    var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
    var count = Int32(words.count)
    let status = arguments.withUnsafeMutableBufferPointer { buffer in
      guard var base = buffer.baseAddress else { return Int32(1) }
      return runLibFuzzer(&count, &base) { start, count in
        do {
          guard let finding = try current?.read(Array(UnsafeRawBufferPointer(start: start, count: count))) else {
            return 0
          }
          print(finding)
        } catch { print("\(error)") }
        // libFuzzer keeps the input of a process that aborts.
        abort()
      }
    }
    return status == 0
  }
#else
  /// Without libFuzzer there is nothing to run.
  func cover(_ kind: Kind, seconds: Int, _ options: Options) throws -> Bool {
    throw RetortError(
      .configuration, "the program is built without libFuzzer", at: "--coverage", remedy: "use launch/fuzz --coverage")
  }
#endif
