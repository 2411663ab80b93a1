import Objectives

extension ChainConfiguration {
  /// Warnings that follow from the configuration alone, each with figures and a remedy; empty if there are none.
  package func advice() -> [String] {
    [sameSettingsAdvice()].compactMap { $0 }
  }

  /// The gap between teacher and student shrinks along a chain, so the same mix is rarely best for all its steps.
  private func sameSettingsAdvice() -> String? {
    let distilling = steps.filter { $0.teacher != .none }
    let taught = distilling.map { DistillationObjective($0.hyperparameters.objectives.terms) }
    guard steps.count >= 3, taught.count >= 2, let first = taught.first, let values = first.plain,
      taught.allSatisfy({ $0 == first }), distilling.allSatisfy({ $0.stages.count == 1 })
    else { return nil }
    return """
      all \(taught.count) distilling steps have alpha \(values.ce) (ce_weight \(values.ce), kd_weight \
      \(values.kd)) and temperature \(values.temperature): the best mix differs from step to step; try a higher \
      kd_weight and temperature where the student is much smaller than its teacher, and a higher alpha late in the chain
      """
  }
}
