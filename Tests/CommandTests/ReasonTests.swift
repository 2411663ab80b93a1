import Foundation
import Testing

/// What is said of files and directories that cannot be made, and of numbers that are out of all range.
@Suite struct ReasonTests {
  @Test func `a directory that may not be made names what is in the way`() throws {
    let command = try Command()
    try command.write("file", "kept")
    for (path, reason) in [
      ("file", "file is a file, not a directory"), ("file/below", "file is a file, not a directory"),
      ("/proc/new", "the file system of /proc does not accept it"),
    ] {
      let result = try command.run("demo", path, "--train", "8", "--validation", "4")
      #expect(result.code == 6 && result.errors.contains(reason), "\(path): \(result.said)")
    }
    #expect(try command.read("file") == "kept")
  }

  @Test(.enabled(if: getuid() == 0, "needs root to become another user"))
  func `missing permissions are named as such, and not as missing files`() throws {
    let command = try Command()
    let user = "setpriv --reuid=65534 --regid=65534 --clear-groups ./retort"
    let result = try command.shell(
      """
      cp "$RETORT" retort; chmod 755 .; mkdir -m 700 secret; mkdir secret/model; echo '{}' > secret/model/config.json
      \(user) demo new; \(user) demo secret/new; \(user) inspect secret/model
      """)
    let lines = result.errors.split(separator: "\n")
    #expect(lines.count == 3, "\(result.errors)")
    #expect(lines.first?.contains("no permission to write in ., as user 65534") == true, "\(result.errors)")
    #expect(lines.dropFirst().first?.contains("no permission to write in secret,") == true, "\(result.errors)")
    #expect(lines.last?.contains("secret/model (permission denied)") == true, "\(result.errors)")
  }

  @Test func `numbers out of all range are refused and never trap`() throws {
    let command = try Command()
    let huge = "\(Int.max)"
    for arguments in [
      ["demo", "d", "--train", huge], ["demo", "d", "--validation", huge], ["bench", "--batch", huge],
      ["bench", "--steps", huge], ["bench", "--warmup", huge], ["bench", "--epochs", huge], ["bench", "--seq", huge],
    ] {
      let result = try command.run(arguments)
      #expect(result.code == 2, "\(arguments): \(result.said)")
    }
  }
}
