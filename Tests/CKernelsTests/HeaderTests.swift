import Foundation
import Testing

@Suite("Headers")
struct HeaderTests {
  /// The clang of the Swift toolchain, or of the system.
  private static let clang: URL? = {
    let paths = ProcessInfo.processInfo.environment["PATH"]?.split(separator: ":") ?? []
    return paths.lazy.map { URL(filePath: "\($0)/clang") }
      .first { FileManager.default.isExecutableFile(atPath: $0.path) }
  }()

  private static let sources = URL(filePath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    .appending(path: "Sources/CKernels").resolvingSymlinksInPath()

  /// Compiler options, and what the names of the headers contain that are read with them. The headers that need native
  /// bf16 products are empty for the compiler's own target.
  private static let readings: [(options: [String], part: String)] = {
    #if arch(x86_64)
      [([], ""), (["-march=sapphirerapids"], "bf16")]
    #else
      [([], "")]
    #endif
  }()

  @Test(.enabled(if: clang != nil, "there is no clang in PATH"), arguments: readings)
  func `a compiler reads every header alone`(options: [String], part: String) throws {
    let clang = try #require(Self.clang)
    let headers = try ["", "include"].flatMap { folder in
      try FileManager.default.contentsOfDirectory(
        at: Self.sources.appending(path: folder), includingPropertiesForKeys: nil)
    }.filter { $0.pathExtension == "h" && (part.isEmpty || $0.lastPathComponent.contains(part)) }
    #expect(headers.count > 1)
    let process = Process()
    process.executableURL = clang
    process.arguments = ["-fsyntax-only", "-x", "c"] + options + headers.map(\.path)
    let output = Pipe()
    process.standardError = output
    try process.run()
    let message = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    #expect(process.terminationStatus == 0, "\(message)")
  }
}
