import Testing

@Suite struct UsageTests {
  @Test func `a toy chain runs to its end, and again leaves its steps alone`() throws {
    let command = try Command()
    try command.makeToy()
    let first = try command.run("run", command.path("toy/toy.yaml"))
    #expect(first.code == 0, "\(first.said)")
    let weights = try command.shell("cat toy/out/*/model.safetensors | sha256sum").output
    let second = try command.run("run", command.path("toy/toy.yaml"))
    #expect(second.code == 0, "\(second.said)")
    #expect(try command.shell("cat toy/out/*/model.safetensors | sha256sum").output == weights)
  }

  @Test func `a slip in an option is a usage error`() throws {
    let result = try Command().run("run", "chain.yaml", "--frehs")
    #expect(result.code == 2)
    #expect(result.errors.contains("--frehs"))
  }

  @Test(arguments: [0, 2]) func `an instruction set that the CPU lacks is refused by name`(ranks: Int) throws {
    let result = try Command().run("doctor", ranks: ranks, environment: ["RETORT_ISA": "avx3"])
    #expect(result.code == 2, "\(result.said)")
    #expect(result.errors.contains("RETORT_ISA=avx3") && result.errors.contains("baseline"), "\(result.said)")
  }

  @Test func `the same toy runs on two ranks`() throws {
    let command = try Command()
    try command.makeToy()
    let result = try command.run("run", command.path("toy/toy.yaml"), ranks: 2)
    #expect(result.code == 0, "\(result.said)")
  }
}
