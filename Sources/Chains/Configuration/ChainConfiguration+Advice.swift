extension ChainConfiguration {
  /// Warnings that the configuration alone gives rise to, each with figures and a remedy; empty when there are none.
  public func advice() -> [String] {
    [sameSettingsAdvice()].compactMap { $0 }
  }

  /// The gap between teacher and student shrinks along a chain, and hardly ever do all its steps want the same mix.
  private func sameSettingsAdvice() -> String? {
    let taught = steps.filter { $0.teacher != .none }.map(\.hyperparameters)
    guard steps.count >= 3, taught.count >= 2, let first = taught.first else { return nil }
    let alike = taught.allSatisfy {
      $0.ceWeight == first.ceWeight && $0.kdWeight == first.kdWeight && $0.temperature == first.temperature
    }
    guard alike else { return nil }
    return """
      all \(taught.count) distilling steps have alpha \(first.ceWeight) (ce_weight \(first.ceWeight), kd_weight \
      \(first.kdWeight)) and temperature \(first.temperature): the best mix differs from step to step; try a higher \
      kd_weight and temperature where the student is much smaller than its teacher, and a higher alpha late in the chain
      """
  }
}
