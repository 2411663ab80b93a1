import Foundation
import Models
import Platform
import Training

/// `training/step.json`: the record that makes a step committed, written after everything else.
public struct StepManifest: Sendable, Equatable {
  /// Everything that decides the student: its digest tells whether a step must run again.
  public var inputs: JSON
  /// What came out.
  public var results: JSON
  /// The digest of the student's weights.
  public var weightsDigest: String

  /// The digest of the inputs.
  public var plan: String { Digest.of(inputs.text()) }

  static func path(in directory: String) -> String { joinPath(directory, "training/step.json") }

  /// Writes the manifest; from then on the step is committed.
  func write(to directory: String) throws {
    let object: JSON = [
      "format": 1, "inputs": inputs, "plan": .string(plan), "results": results,
      "weights": .string(weightsDigest),
    ]
    try writeFileAtomically(StepManifest.path(in: directory), object.text(indent: 2) + "\n")
  }

  /// The manifest of a directory, or nil where there is none that can be read.
  static func read(from directory: String) -> StepManifest? {
    guard let json = try? JSON(contentsOf: path(in: directory)), let inputs = json["inputs"],
      let results = json["results"], let weights = json["weights"]?.string
    else { return nil }
    return StepManifest(inputs: inputs, results: results, weightsDigest: weights)
  }

  /// Whether the directory still holds the student that was committed.
  func matches(_ directory: String) -> Bool {
    (try? ModelDigest.ofWeights(directory: directory)) == weightsDigest
      && fileExists(joinPath(directory, "config.json"))
  }

  /// Takes the commitment back, before a step runs again.
  static func remove(from directory: String) { unlink(path(in: directory)) }
}
