/// One minus the cosine of pooled outputs.
struct PooledCosine: PooledObjective {
  static let kind = "pooled_cosine"
  static let formula = "mean over examples of 1 − cos(P s, t), pooled outputs"
  static let source = "Reimers and Gurevych (2020)"
  static let comparison = RowComparison.cosine

  let projection: ProjectionRule?
}
