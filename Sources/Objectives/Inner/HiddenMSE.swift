/// The mean squared difference of token states.
struct HiddenMSE: StatesObjective {
  static let kind = "hidden_mse"
  static let formula = "mean over tokens and dimensions of (P s − t)²"
  static let source = "Romero et al. (2015), FitNets; Jiao et al. (2020), TinyBERT"
  static let comparison = RowComparison.squared

  let states: StatesOptions
}
