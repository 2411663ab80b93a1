/// The cross-entropy of each label by itself: it holds or does not hold.
struct BinaryCrossEntropy: TargetObjective {
  static let kind = "binary_cross_entropy"
  static let formula = "mean over labels of −y log σ(s) − (1 − y) log(1 − σ(s))"
  static let source = "Nam et al. (2014)"
  static let options: [ObjectiveOption] = []

  init(_ options: ObjectiveOptions) {}

  var loss: TargetLoss { .binaryCrossEntropy }
}
