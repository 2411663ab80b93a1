import Layers

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
}
