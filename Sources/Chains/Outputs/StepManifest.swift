import Foundation
import Models
import Platform

/// `training/step.json`: the record that commits a chain step, renamed into place after everything else.
package struct StepManifest: Sendable, Equatable {
  /// Everything that determines the student, and the names of step and teacher.
  package var inputs: JSON
  /// The results of training.
  package var results: JSON
  /// The student's files; nil in records of versions that stored only the digest of the weights.
  var files: StudentFiles?
  /// The digest of the student's weights.
  var weightsDigest: String

  /// Makes the record of the student in a directory that contains nothing else.
  package init(inputs: JSON, results: JSON, studentIn directory: String) throws {
    (self.inputs, self.results) = (inputs, results)
    let files = try StudentFiles(of: directory)
    guard let weights = files.weightsDigest else {
      throw RetortError(.unexpected, "the student has no weights", at: directory)
    }
    (self.files, weightsDigest, plan) = (files, weights, StepManifest.plan(of: inputs))
  }

  /// The plan digest: the digest of the inputs that determine the student. A run resumes only checkpoints of its plan.
  static func plan(of inputs: JSON) -> String { Digest.of(deciding(inputs).text()) }

  /// The plan digest with which the student was committed; versions differ in what they digest.
  package let plan: String

  /// The `step_id` of the record.
  var stepID: String? { inputs["step_id"]?.string }

  static func path(in directory: String) -> String { joinPath(directory, "training/step.json") }

  /// Writes the record to a file.
  package func write(to path: String) throws {
    var object: [String: JSON] = [
      "format": 2, "inputs": inputs, "plan": .string(plan), "results": results, "weights": .string(weightsDigest),
    ]
    if let files { object["files"] = files.json }
    try writeFileAtomically(path, JSON.object(object).text(indent: 2) + "\n")
  }

  /// The record of an output directory; nil if there is none or it cannot be read.
  package static func read(from directory: String) -> StepManifest? { StepManifest(path(in: directory)) }

  /// Reads a record from a file; nil if it cannot be read.
  init?(_ path: String) {
    guard let json = try? JSON(contentsOf: path), let inputs = json["inputs"], let results = json["results"],
      let weights = json["weights"]?.string
    else { return nil }
    var files: StudentFiles?
    if let listed = json["files"] {
      guard let read = StudentFiles(listed) else { return nil }
      files = read
    }
    (self.inputs, self.results, self.files, weightsDigest) = (inputs, results, files, weights)
    plan = json["plan"]?.string ?? StepManifest.plan(of: inputs)
  }

  /// Whether a file with this content was committed under a name; true if the record has no files.
  func wrote(_ content: Data, as name: String) -> Bool {
    guard let files else { return true }
    return files.entries[name] == StudentFiles.Entry(content)
  }

  /// The files of a student that differ from the committed ones.
  ///
  /// - Parameter companions: the files expected besides the weights, for a record without files.
  package func differences(in directory: String, companions: [String]) -> [StudentFiles.Difference] {
    if let files { return files.differences(in: directory) }
    var found: [StudentFiles.Difference] = []
    for name in companions.sorted() {
      guard let entry = try? StudentFiles.entry(joinPath(directory, name)) else {
        found.append(StudentFiles.Difference(name: name, kind: .missing))
        continue
      }
      if entry.size == 0 { found.append(StudentFiles.Difference(name: name, kind: .empty)) }
    }
    if (try? ModelDigest.ofWeights(directory: directory)) != weightsDigest {
      let name = "model.safetensors"
      let isThere = fileExists(joinPath(directory, name)) || fileExists(joinPath(directory, name + ".index.json"))
      found.append(StudentFiles.Difference(name: name, kind: isThere ? .changed : .missing))
    }
    return found
  }
}
