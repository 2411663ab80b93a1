import Platform

/// A number with three significant digits.
func figure(_ value: Double) -> String {
  let size = abs(value)
  if size >= 100 || size == 0 { return grouped(value) }
  if size >= 10 { return fixed(value, 1) }
  if size >= 1 { return fixed(value, 2) }
  return fixed(value, size >= 0.1 ? 3 : size >= 0.01 ? 4 : 6)
}

/// Bytes in a suitable unit.
func bytesText(_ bytes: Double) -> String {
  let units = [(1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")]
  guard let unit = units.first(where: { bytes >= $0.0 }) else { return "\(grouped(bytes)) B" }
  return "\(figure(bytes / unit.0)) \(unit.1)"
}

/// Seconds in a suitable unit.
func secondsText(_ seconds: Double) -> String {
  if seconds >= 7200 { return "\(figure(seconds / 3600)) h" }
  if seconds >= 300 { return "\(figure(seconds / 60)) min" }
  if seconds >= 1 || seconds == 0 { return "\(figure(seconds)) s" }
  return seconds >= 1e-3 ? "\(figure(seconds * 1e3)) ms" : "\(figure(seconds * 1e6)) us"
}

/// Rows of cells, each column as wide as its widest cell; the first column is left-aligned, the others right-aligned.
func table(_ rows: [[String]]) -> [String] {
  let widths = (rows.first ?? []).indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
  return rows.map { row in
    let cells = zip(row, widths).enumerated().map { index, cell in
      let padding = String(repeating: " ", count: cell.1 - cell.0.count)
      return index == 0 ? cell.0 + padding : padding + cell.0
    }
    return "  " + cells.joined(separator: "  ")
  }
}

extension Layout {
  /// Sharding and checkpointing in words.
  var studentText: String { sharding.rawValue + (checkpointing ? ", checkpointing" : "") }

  /// The payload in words; a teacher in the same memory sends no messages.
  var payloadText: String { placement == .resident || placement == .streamed ? "in memory" : payload.word }

  /// The layout in words.
  package var words: String { "teacher \(placementText), student sharding \(studentText)" }

  /// The chain file's keys for this layout.
  func chainText(hasTeacher: Bool) -> String {
    var parallel = ["student: {sharding: \(sharding.rawValue)}"]
    if hasTeacher {
      var keys = ["placement: \(placement.rawValue)"]
      if placement == .sharded || placement == .dedicated {
        keys += ["ranks: \(teacherRanks)", "sharding: \(split.rawValue)", "payload: \(payload.word)"]
        if case .topK(let k) = payload { keys.append("top_k: \(k)") }
      }
      parallel.append("teacher: {\(keys.joined(separator: ", "))}")
    }
    return "parallel: {\(parallel.joined(separator: ", "))}"
      + (checkpointing ? "; hyperparams: {activation_checkpointing: true}" : "")
  }
}

extension PlanComparison {
  /// The comparison as text with tables.
  ///
  /// - Parameter title: the name of the step.
  package func text(title: String) -> String {
    var lines = [title] + header
    lines += ["", "layout of the chain file: \(describe(written))"] + details(written)
    if work.teacher != nil {
      lines += ["", "placements, each with its best sharding and number of ranks:"]
      lines += table([columns] + placements.map(row))
    }
    let reference = recommended ?? written
    lines += ["", "shardings with the teacher \(work.teacher == nil ? "none" : reference.layout.placementText):"]
    lines += table(([columns] + shardings(of: reference).map(row)).map { Array($0.dropFirst(2)) })
    guard let best = recommended else { return lines.joined(separator: "\n") }
    lines += ["", "recommended: \(describe(best)), \(secondsText(best.time.total)) per step"]
    lines.append("  " + best.layout.chainText(hasTeacher: work.teacher != nil))
    if best.layout != written.layout { lines += details(best) }
    return lines.joined(separator: "\n")
  }

  private func describe(_ plan: StepPlan) -> String {
    let teacher = work.teacher == nil ? "" : "teacher \(plan.layout.placementText), \(plan.layout.payloadText); "
    return "\(teacher)student sharding \(plan.layout.studentText)"
  }

  private var header: [String] {
    func model(_ sizes: any NetworkSizes, _ format: PlannedFormat) -> String {
      "\(sizes.name), \(grouped(sizes.parameterCount)) parameters, \(format.rawValue)"
    }
    var lines = ["  student     \(model(work.student, work.studentFormat))"]
    if let teacher = work.teacher {
      let ratio = Double(teacher.parameterCount) / Double(work.student.parameterCount)
      lines.append("  teacher     \(model(teacher, work.teacherFormat)), \(figure(ratio)) times the student")
    }
    lines.append(
      "  batch       \(grouped(work.load.sequences)) sequences of \(grouped(work.load.length)) tokens, "
        + "accumulation \(work.accumulation)" + (work.steps.map { ", \(grouped($0)) steps" } ?? ""))
    lines.append(
      "  arithmetic  \(operations(work.student.forwardFLOPs(work.load) * 3)) student"
        + (work.teacher.map { ", \(operations($0.forwardFLOPs(work.load))) teacher, per step" } ?? " per step"))
    let state = Double(work.student.parameterCount)
    lines.append("  on disk     model \(bytesText(4 * state)), a checkpoint \(bytesText(12 * state))")
    return lines
  }

  private func operations(_ count: Double) -> String {
    let exponent =
      count >= 1e18
      ? (1e18, "EFLOP")
      : count >= 1e15
        ? (1e15, "PFLOP")
        : count >= 1e12
          ? (1e12, "TFLOP") : (1e9, "GFLOP")
    return "\(figure(count / exponent.0)) \(exponent.1)"
  }

  private var columns: [String] {
    ["teacher", "signals", "student", "rank", "node", "fits", "sent", "teaching", "training", "step", "tokens/s"]
  }

  private func row(_ plan: StepPlan) -> [String] {
    let rank = max(plan.memory.trainer.total, plan.memory.teacher?.total ?? 0)
    return [
      work.teacher == nil ? "none" : plan.layout.placementText, work.teacher == nil ? "none" : plan.layout.payloadText,
      plan.layout.studentText, bytesText(rank), bytesText(plan.memory.node), plan.fits ? "yes" : "no",
      bytesText(plan.traffic.total), secondsText(plan.time.teaching), secondsText(plan.time.training),
      secondsText(plan.time.total), figure(Double(work.load.tokens) / max(plan.time.total, 1e-12)),
    ]
  }

  private func details(_ plan: StepPlan) -> [String] {
    let memory = plan.memory
    var lines = ["  memory of a rank    " + parts(MemoryKind.allCases.map { ($0.rawValue, memory.trainer[$0]) })]
    if let teacher = memory.teacher {
      lines.append("  of a teaching rank  " + parts(MemoryKind.allCases.map { ($0.rawValue, teacher[$0]) }))
    }
    lines.append(
      "  of a node           \(bytesText(memory.node)) of \(bytesText(cluster.usableMemory)) usable"
        + (plan.fits ? "" : ": does not fit"))
    lines.append("  a rank sends        " + parts(TrafficKind.allCases.map { ($0.rawValue, plan.traffic[$0]) }))
    let times = TimeKind.allCases.filter { plan.time[$0] > 0 }.map { "\($0.rawValue) \(secondsText(plan.time[$0]))" }
    lines.append(
      "  time of a step      \(secondsText(plan.time.total)): \(times.joined(separator: ", "))"
        + (plan.time.isOverlapped ? "; teaching and training at the same time" : ""))
    if let steps = work.steps {
      lines.append("  of the chain step   \(secondsText(Double(steps) * plan.time.total)), without evaluations")
    }
    let bottleneck = Bottleneck(plan, work, on: cluster)
    lines.append(
      "  bottleneck          \(bottleneck.kind.rawValue), \(figure(100 * bottleneck.share)) %: \(bottleneck.relief)")
    return lines
  }

  private func parts(_ values: [(String, Double)]) -> String {
    let present = values.filter { $0.1 > 0 }
    if present.isEmpty { return "nothing" }
    return bytesText(present.reduce(0) { $0 + $1.1 }) + ": "
      + present.map { "\($0.0) \(bytesText($0.1))" }.joined(separator: ", ")
  }
}
