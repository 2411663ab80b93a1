import Foundation
import Testing

/// What is kept for later runs.
@Suite struct CacheTests {
  @Test func `what a run keeps is private, listed with what it is of, and cleared`() throws {
    let command = try Command()
    try command.makeToy(steps: 2)
    #expect(try command.run("run", command.path("toy/toy.yaml")).code == 0)
    #expect(try command.shell("find cache -type d ! -perm 700; find cache -type f ! -perm 600").output == "")
    let listed = try command.run("cache", "list").output
    #expect(listed.contains("tokens") && listed.contains("toy/data/train.tsv") && listed.contains("signals"))
    let json = try command.run("cache", "list", "--json").output
    #expect(json.contains("\"in_use\":false") || json.contains("\"in_use\": false"))
    #expect(try command.run("cache", "clear").code == 2)
    #expect(try command.run("cache", "clear", "--kind", "tokens", "--all").output.contains("removed"))
    #expect(try command.shell("ls cache/tokens").output == "")
    #expect(try command.run("cache", "clear", "--older-than", "1").output.contains("removed 0,"))
    #expect(try command.run("cache", "clear", "--all").code == 0)
    #expect(try command.shell("find cache -type f").output == "")
  }

  @Test func `nothing is kept where that is wished, and the student is the same`() throws {
    let command = try Command()
    try command.makeToy(steps: 2)
    let sum = "cat toy/out/*/model.safetensors | sha256sum; rm -r toy/out"
    #expect(try command.run("run", command.path("toy/toy.yaml")).code == 0)
    let wanted = try command.shell(sum).output
    let off = try command.shell("RETORT_CACHE=off XDG_CACHE_HOME=$PWD/xdg HOME=$PWD $RETORT run toy/toy.yaml")
    #expect(off.code == 0 && FileManager.default.fileExists(atPath: command.path("off")) == false)
    #expect(try command.shell(sum).output == wanted)
    let key = try command.run(
      "run", command.path("toy/toy.yaml"), "--set", "parallel.cache=false",
      environment: ["RETORT_CACHE": command.path("none")])
    #expect(key.code == 0, "\(key.said)")
    #expect(try command.shell(sum).output == wanted)
    #expect(try command.shell("ls -d xdg .cache none 2>/dev/null").output == "")
  }

  @Test func `a damaged token file is said once and rebuilt, on any number of ranks`() throws {
    let command = try Command()
    try command.makeToy(steps: 2)
    #expect(try command.run("run", command.path("toy/toy.yaml")).code == 0)
    let wanted = try command.shell("cat toy/out/*/model.safetensors | sha256sum").output
    for ranks in [0, 2] {
      try _ = command.shell(
        "rm -r toy/out; for f in cache/tokens/*/tokens; do printf X | dd of=$f bs=1 seek=500 conv=notrunc status=none; done"
      )
      let again = try command.run("run", command.path("toy/toy.yaml"), ranks: ranks)
      #expect(again.code == 0, "\(again.said)")
      #expect(again.said.components(separatedBy: "train.tsv was damaged and is rebuilt").count == 2, "\(again.said)")
      if ranks == 0 {
        #expect(try command.shell("cat toy/out/*/model.safetensors | sha256sum").output == wanted)
      }
    }
  }
}
