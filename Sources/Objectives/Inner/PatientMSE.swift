import Layers
import Models

/// The mean squared difference of the first tokens' states, each normalised to length 1.
struct PatientMSE: StatesObjective {
  static let kind = "patient_mse"
  static let formula =
    "mean over examples and dimensions of (ŝ − t̂)², ŝ = P s / &#124;P s&#124; of the first token"
  static let source = "Sun et al. (2019), PKD"
  static let comparison = RowComparison.unitSquared
  static let comparesTokens = false
  static let reading = Reading.firstTokens

  let states: StatesOptions

  /// The first token of a decoder attends to itself alone, so its states say nothing about the rest.
  func pairs(student: ModelShape, teacher: ModelShape) throws -> [LayerPair] {
    if student.isCausal || teacher.isCausal {
      throw ObjectiveRefusal(
        key: nil, what: "compares first tokens, which in a decoder know nothing of the other tokens",
        remedy: "use hidden_mse or hidden_cosine, which compare all tokens")
    }
    return try states.layers.checkedPairs(student: student, teacher: teacher, least: 0)
  }
}
