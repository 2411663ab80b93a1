/// −Σ y log softmax(s): y is one-hot at the label; with smoothing it is 1 − ε of that plus ε/C for every class.
struct CrossEntropy: TargetObjective {
  static let kind = "cross_entropy"
  static let formula = "−Σ y log softmax(s)"
  static let source = "Szegedy et al. (2016) for label smoothing"
  static let options = [ObjectiveOption("label_smoothing", .number(0...0.999, default: 0))]

  /// ε.
  let smoothing: Double

  init(_ options: ObjectiveOptions) { smoothing = options.number("label_smoothing") }

  var loss: TargetLoss { .crossEntropy(smoothing: smoothing) }
}
