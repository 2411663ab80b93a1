import Platform

extension PlanComparison {
  /// The comparison as JSON, with all figures of all layouts.
  package func json(id: String) -> JSON {
    func model(_ sizes: any NetworkSizes, _ format: PlannedFormat) -> JSON {
      ["model": .string(sizes.name), "parameters": .int(sizes.parameterCount), "precision": .string(format.rawValue)]
    }
    return [
      "step_id": .string(id), "student": model(work.student, work.studentFormat),
      "teacher": work.teacher.map { model($0, work.teacherFormat) } ?? .null,
      "sequences": .int(work.load.sequences), "tokens": .int(work.load.tokens),
      "steps": work.steps.map(JSON.int) ?? .null, "written": json(written),
      "recommended": recommended.map(json) ?? .null, "layouts": .array(all.map(json)),
    ]
  }

  private func json(_ plan: StepPlan) -> JSON {
    let bottleneck = Bottleneck(plan, work, on: cluster)
    return [
      "layout": plan.layout.json(hasTeacher: work.teacher != nil), "fits": .bool(plan.fits),
      "memory": plan.memory.trainer.json, "teaching_memory": plan.memory.teacher?.json ?? .null,
      "node_memory": whole(plan.memory.node),
      "traffic": object(TrafficKind.allCases.map { ($0.rawValue, whole(plan.traffic[$0])) }),
      "bytes_a_row": .int(plan.traffic.rowBytes),
      "seconds": object(TimeKind.allCases.map { ($0.rawValue, .double(plan.time[$0])) }),
      "step_seconds": .double(plan.time.total), "teacher_flops": .double(plan.time.teacherFLOPs),
      "student_flops": .double(plan.time.studentFLOPs),
      "bottleneck": [
        "kind": .string(bottleneck.kind.rawValue), "share": .double(bottleneck.share),
        "relief": .string(bottleneck.relief),
      ],
    ]
  }
}

extension RankMemory {
  /// Bytes by kind, and their sum.
  var json: JSON {
    object(
      MemoryKind.allCases.map { ($0.rawValue, whole(self[$0])) }
        + [("total", whole(total)), ("shared", whole(shared))])
  }
}

extension Layout {
  /// The layout with the chain file's keys.
  func json(hasTeacher: Bool) -> JSON {
    var members: [String: JSON] = [
      "sharding": .string(sharding.rawValue), "activation_checkpointing": .bool(checkpointing),
    ]
    guard hasTeacher else { return .object(members) }
    var teacher: [String: JSON] = ["placement": .string(placement.rawValue)]
    if placement == .sharded || placement == .dedicated {
      teacher["ranks"] = .int(teacherRanks)
      teacher["sharding"] = .string(split.rawValue)
      teacher["payload"] = .string(payload.word)
      if case .topK(let k) = payload { teacher["top_k"] = .int(k) }
    }
    members["teacher"] = .object(teacher)
    return .object(members)
  }
}

private func object(_ members: [(String, JSON)]) -> JSON { .object(Dictionary(members) { first, _ in first }) }

/// Bytes as an integer.
private func whole(_ bytes: Double) -> JSON { Int(exactly: bytes.rounded()).map(JSON.int) ?? .double(bytes) }
