/// The mean squared difference of pooled outputs.
struct PooledMSE: PooledObjective {
  static let kind = "pooled_mse"
  static let formula = "mean over examples and dimensions of (P s − t)², pooled outputs"
  static let source = "Reimers and Gurevych (2020)"
  static let comparison = RowComparison.squared

  let projection: ProjectionRule?
}
