import Foundation
import Platform

/// Reference figures computed by PyTorch: those that stand beside the checkout, and others that
/// `RETORT_PARITY` names (directories, separated by colons).
package enum Parity {
  package static let directories: [String] = {
    let extra = ProcessInfo.processInfo.environment["RETORT_PARITY"] ?? ""
    return ([Shared.path("parity/reference")].compactMap { $0 }) + extra.split(separator: ":").map(String.init)
  }()

  package static var isAvailable: Bool { !directories.isEmpty }

  /// `expected.json` of a case.
  package static func expected(_ directory: String, _ name: String) throws -> JSON {
    try JSON(contentsOf: "\(directory)/\(name)/expected.json")
  }
}

extension JSON {
  /// All numbers of a list, nested lists one after the other.
  package var numbers: [Double] { double.map { [$0] } ?? (array ?? []).flatMap(\.numbers) }
  /// A list of token ids.
  package var tokens: [Int32] { (array ?? []).compactMap { $0.int.map(Int32.init) } }
}
