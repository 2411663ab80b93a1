import ArgumentParser
import Demo
import Platform

struct DemoCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "demo",
    abstract: "Writes the demo: generated reviews, a vocabulary and a chain file.",
    discussion: """
      Then: cd DIR && mpirun -n 2 retort run chain.yaml
      """)

  @Argument(help: "The directory to write to.") var directory: String
  @Option(help: "The number of training reviews.") var train = DemoPlan.trainCount
  @Option(help: "The number of validation reviews.") var validation = DemoPlan.validationCount
  @Option(help: "The seed of the reviews.") var seed = DemoPlan.seed
  @Flag(help: "Replaces existing files with different content.") var overwrite = false

  func validate() throws {
    try requireOption("--train", train, 1...10_000_000)
    try requireOption("--validation", validation, 1...10_000_000)
  }

  func run() throws {
    let files = try Demo.write(
      to: directory, trainCount: train, validationCount: validation, seed: seed, overwrites: overwrite)
    Terminal.write(files.map { "wrote \($0)\n" }.joined())
  }
}
