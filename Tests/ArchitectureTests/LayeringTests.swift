import Foundation
import Testing

@Suite struct LayeringTests {
  private func manifest() throws -> Manifest {
    Manifest(try String(contentsOfFile: Checkout.root + "/Package.swift", encoding: .utf8))
  }

  @Test func `the manifest is read as it is written`() {
    let manifest = Manifest(
      """
      func library(_ name: String) -> Target { .target(name: name) }
      let package = Package(
        targets: [
          .systemLibrary(name: "CLow", pkgConfig: "low", providers: [.apt(["low-dev"])]),
          .target(name: "CCode", cSettings: settings, linkerSettings: [.linkedLibrary("m")]),
          // library("Gone"),
          library("Alone"),
          library("Middle", ["CLow", yams, "Alone"]),
          .executableTarget(
            name: "top",
            dependencies: [
              "Middle",
              .product(name: "Other", package: "other"),
            ]),
          .testTarget(name: "MiddleTests", dependencies: ["Middle"]),
          tests("TopTests", ["Middle"]),
        ]
      )
      """)
    #expect(
      manifest.targets.map(\.name) == ["CLow", "CCode", "Alone", "Middle", "top", "MiddleTests", "TopTests"])
    #expect(manifest.targets[0].dependencies.isEmpty && manifest.targets[1].dependencies.isEmpty)
    #expect(manifest.targets[3].dependencies == ["CLow", "Alone"])
    #expect(manifest.targets[4].dependencies.first == "Middle")
    #expect(manifest.targets.map(\.isTest) == [false, false, false, false, false, true, true])
    #expect(manifest.above("Middle") == ["CLow", "CCode", "Alone"])
  }

  @Test func `every form of import is seen`() {
    let file = Checkout.File(
      path: "a.swift",
      text: """
        import A
        @testable import B
        internal import struct C.Thing
          import D.Part
        // import E
        let text = "no import F"
        @preconcurrency package import G
        """)
    #expect(imports(of: file).map(\.module) == ["A", "B", "C", "D", "G"])
    #expect(imports(of: file).map(\.line) == [1, 2, 3, 4, 7])
  }

  @Test func `a target depends only on targets that stand above it`() throws {
    let manifest = try manifest()
    #expect(manifest.targets.count > 15, "Package.swift could not be read")
    let names = Set(manifest.targets.map(\.name))
    for target in manifest.targets where !target.isTest {
      let below = Set(target.dependencies).intersection(names).subtracting(manifest.above(target.name))
      #expect(below.isEmpty, "\(target.name) depends on \(below.sorted()), which stand below it")
    }
  }

  @Test func `a target imports only what it declares`() throws {
    let manifest = try manifest()
    let names = Set(manifest.targets.map(\.name))
    for target in manifest.targets where !target.isTest && !["TestSupport", "fuzz"].contains(target.name) {
      let declared = Set(target.dependencies)
      for file in try Checkout.files(below: "Sources/\(target.name)", extensions: ["swift"]) {
        for statement in imports(of: file) where names.contains(statement.module) {
          #expect(
            declared.contains(statement.module),
            "\(file.path):\(statement.line): \(target.name) imports \(statement.module) without declaring it")
        }
      }
    }
  }

  @Test func `only Chains reads YAML, and only the command parses arguments`() throws {
    for file in try Checkout.files(below: "Sources", extensions: ["swift"]) {
      let target = file.path.split(separator: "/").dropFirst().first.map(String.init)
      for statement in imports(of: file) {
        #expect(statement.module != "Yams" || target == "Chains", "\(file.path):\(statement.line)")
        #expect(statement.module != "ArgumentParser" || target == "retort", "\(file.path):\(statement.line)")
      }
    }
  }

  @Test func `every directory of Sources is a target`() throws {
    let names = Set(try manifest().targets.map(\.name))
    for directory in try FileManager.default.contentsOfDirectory(atPath: Checkout.root + "/Sources") {
      #expect(names.contains(directory), "Sources/\(directory)")
    }
  }
}
