/// The difference of sorted probabilities, which compares models of different classes or vocabularies.
struct SortedL1: LogitsObjective {
  static let kind = "sorted_l1"
  static let formula = "Σ &#124;p₍ᵢ₎ − q₍ᵢ₎&#124; over sorted probabilities, the shorter side padded with 0"
  static let source = "Boizard et al. (2024), ULD"
  static let options = [ObjectiveOption.temperature]
  static let allowsOtherClasses = true

  let temperature: Scheduled

  init(_ options: ObjectiveOptions) { temperature = options.schedule("temperature") }

  var comparison: RowComparisonKind { .teacher(.sortedL1) }
}
