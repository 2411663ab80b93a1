import Testing

@Suite struct HabitTests {
  /// No file needs more; one that does has two jobs.
  static let mostLines = 500

  @Test func `documented and undocumented declarations are told apart`() {
    let file = Checkout.File(
      path: "a.swift",
      text: """
        /// A comment.
        package struct A {
          package var bare: Int
          /// A comment.
          @inlinable
          package func documented() {}

          package static func alsoBare() {
          }
          /// A comment for both.
          package let first = 1
          package let second = 2

          package let third = 3
          private func hidden() {}
          package static func == (a: A, b: A) -> Bool { true }
          package var description: String { "a" }
          // Not a doc comment.
          @discardableResult package init() {}
        }
        extension A: Sequence {
          package func conformance() {}
        }
        extension A {
          package func plain() {}
          package func required(_ value: Int) {}
        }
        extension A {
          package var narrower: Int { 1 }
          /// A comment.
          package func documentedToo() {}
        }
        /// A comment.
        package protocol P {
          /// A comment.
          func required(_ value: Int)
        }
        """)
    #expect(Documentation(of: [file]).gaps(in: file) == [3, 8, 14, 19, 25, 29])
  }

  @Test func `every public or package declaration has a doc comment`() throws {
    let files = try Checkout.files(below: "Sources", extensions: ["swift"])
    let documentation = Documentation(of: files)
    for file in files {
      for line in documentation.gaps(in: file) {
        Issue.record("\(file.path):\(line): \(file.lines[line - 1].drop { $0 == " " })")
      }
    }
  }

  @Test func `no file is longer than one job needs`() throws {
    for file in try Checkout.files(below: "Sources", extensions: ["swift", "c", "h"]) {
      #expect(file.lines.count <= HabitTests.mostLines, "\(file.path) has \(file.lines.count) lines")
    }
  }

  @Test func `nothing is left to do, and nothing ends the program from inside`() throws {
    // Parts of a path come from Platform: Foundation's trap on a name of one character.
    let words = ["TODO", "FIXME", "try!", "as!", "fatalError", "PathComponent"]
    for file in try Checkout.files(below: "Sources", extensions: ["swift", "c", "h"]) {
      for (index, line) in file.lines.enumerated() {
        for word in words where line.contains(word) { Issue.record("\(file.path):\(index + 1): \(word)") }
      }
    }
  }

  /// A variable that only some ranks have is refused if it decides what they do: each one is in one of the two lists.
  @Test func `each variable of Retort is compared between ranks, or may differ for a reason`() throws {
    let mayDiffer: Set = ["RETORT_CACHE", "RETORT_MODELS", "RETORT_PROGRESS", "RETORT_RESTARTED", "RETORT_CORE"]
    func variables(_ lines: some Sequence<String>) -> Set<String> {
      Set(lines.flatMap { $0.matches(of: /"(RETORT_[A-Z_]+)"/).map { String($0.1) } })
    }
    let files = try Checkout.files(below: "Sources", extensions: ["swift", "c", "h"])
    let program = try #require(files.first { $0.path == "Sources/retort/Program.swift" })
    let begin = try #require(program.lines.firstIndex { $0.contains("let comparedVariables: Set = [") })
    let compared = variables(program.lines[begin...].prefix { $0 != "  ]" })
    #expect(variables(files.flatMap(\.lines)) == compared.union(mayDiffer))
  }

  @Test func `no line is longer than the formatter allows`() throws {
    for file in try Checkout.files(below: "Sources", extensions: ["swift"]) {
      for (index, line) in file.lines.enumerated() where line.count > 120 {
        Issue.record("\(file.path):\(index + 1): \(line.count) characters")
      }
    }
  }
}
