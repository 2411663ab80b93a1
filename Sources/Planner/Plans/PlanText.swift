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

  /// The chain file's keys for this layout; of several teachers the first one has it.
  func chainText(teachers: Int) -> String {
    var parallel = ["student: {sharding: \(sharding.rawValue)}"]
    var first = ""
    if teachers > 0 {
      var keys = ["placement: \(placement.rawValue)"]
      if placement == .sharded || placement == .dedicated {
        keys += ["ranks: \(teacherRanks)", "sharding: \(split.rawValue)", "payload: \(payload.word)"]
        if case .topK(let k) = payload { keys.append("top_k: \(k)") }
      }
      let text = "{\(keys.joined(separator: ", "))}"
      if teachers > 1 {
        first = "; the first teacher: {model: …, parallel: \(text)}"
      } else {
        parallel.append("teacher: \(text)")
      }
    }
    return "parallel: {\(parallel.joined(separator: ", "))}\(first)"
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
      let allowed = isRestricted ? " that the objectives allow" : ""
      lines += ["", "placements\(allowed), each with its best sharding and number of ranks:"]
      lines += table([columns] + placements.map(row))
    }
    let reference = recommended ?? written
    lines += ["", "shardings with the teacher \(work.teacher == nil ? "none" : reference.layout.placementText):"]
    lines += table(([columns] + shardings(of: reference).map(row)).map { Array($0.dropFirst(2)) })
    guard let best = recommended else { return lines.joined(separator: "\n") }
    lines += ["", "recommended: \(describe(best)), \(secondsText(best.secondsPerStep)) per step"]
    lines.append("  " + best.layout.chainText(teachers: work.teachers.count))
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
    for (teacher, format, _) in work.otherTeachers { lines.append("  teacher     \(model(teacher, format)), resident") }
    for work in works { lines += self.lines(of: work) }
    let state = Double(work.student.parameterCount)
    lines.append("  on disk     model \(bytesText(4 * state)), a checkpoint \(bytesText(12 * state))")
    return lines
  }

  private func lines(of work: StepWork) -> [String] {
    let asked = work.teachers.indices.filter(work.asks).map { work.teachers[$0].forwardFLOPs(work.load) }
    let steps = work.steps.map { ", \(grouped($0)) steps" } ?? ""
    return (work.stage.map { ["  stage       \($0)"] } ?? []) + [
      "  batch       \(grouped(work.load.sequences)) sequences of \(grouped(work.load.length)) tokens, "
        + "accumulation \(work.accumulation)\(steps)",
      "  arithmetic  \(operations(work.student.forwardFLOPs(work.load) * 3)) student"
        + (asked.isEmpty
          ? "" : ", \(operations(asked.reduce(0, +))) \(asked.count == 1 ? "teacher" : "\(asked.count) teachers"),")
        + " per step",
    ]
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
      bytesText(plan.traffic.total), secondsText(plan.mean { $0.time.teaching }),
      secondsText(plan.mean { $0.time.training }),
      secondsText(plan.secondsPerStep), figure(plan.tokensPerSecond),
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
    for stage in plan.stages {
      let times = TimeKind.allCases.filter { stage.time[$0] > 0 }
        .map { "\($0.rawValue) \(secondsText(stage.time[$0]))" }
      let name = stage.work.stage.map { ", stage \($0)" } ?? ""
      lines.append(
        "  time of a step      \(secondsText(stage.time.total))\(name): \(times.joined(separator: ", "))"
          + (stage.time.isOverlapped ? "; teaching and training at the same time" : ""))
    }
    if let seconds = plan.seconds, let steps = plan.steps {
      let count = plan.stages.count > 1 ? "\(grouped(steps)) steps in \(plan.stages.count) stages, " : ""
      lines.append("  of the chain step   \(secondsText(seconds)), \(count)without evaluations")
    }
    let bottleneck = Bottleneck(plan, on: cluster)
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
