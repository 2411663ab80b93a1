/// One minus the cosine of token states.
struct HiddenCosine: StatesObjective {
  static let kind = "hidden_cosine"
  static let formula = "mean over tokens of 1 − cos(P s, t)"
  static let source = "Sanh et al. (2019), DistilBERT"
  static let comparison = RowComparison.cosine

  let states: StatesOptions
}
