import Platform

extension PlanComparison {
  /// The comparison as JSON, with all figures of all layouts.
  package func json(id: String) -> JSON {
    func model(_ sizes: any NetworkSizes, _ format: PlannedFormat) -> JSON {
      ["model": .string(sizes.name), "parameters": .int(sizes.parameterCount), "precision": .string(format.rawValue)]
    }
    var members: [String: JSON] = [
      "step_id": .string(id), "student": model(work.student, work.studentFormat),
      "teacher": work.teacher.map { model($0, work.teacherFormat) } ?? .null,
      "sequences": .int(work.load.sequences), "tokens": .int(work.load.tokens),
      "steps": written.steps.map(JSON.int) ?? .null, "written": json(written),
      "recommended": recommended.map(json) ?? .null, "layouts": .array(all.map(json)),
    ]
    if !work.otherTeachers.isEmpty {
      members["other_teachers"] = .array(work.otherTeachers.map { model($0.sizes, $0.format) })
    }
    return .object(members)
  }

  private func json(_ stage: StepPlan.Stage) -> JSON {
    [
      "stage": stage.work.stage.map(JSON.string) ?? .null, "steps": stage.work.steps.map(JSON.int) ?? .null,
      "sequences": .int(stage.work.load.sequences), "tokens": .int(stage.work.load.tokens),
      "memory": whole(stage.memory.trainer.total), "node_memory": whole(stage.memory.node),
      "traffic": whole(stage.traffic.total), "step_seconds": .double(stage.time.total),
      "total_seconds": stage.seconds.map(JSON.double) ?? .null,
    ]
  }

  private func json(_ plan: StepPlan) -> JSON {
    let bottleneck = Bottleneck(plan, on: cluster)
    var members: [String: JSON] = [
      "layout": plan.layout.json(hasTeacher: work.teacher != nil), "fits": .bool(plan.fits),
      "memory": plan.memory.trainer.json, "teaching_memory": plan.memory.teacher?.json ?? .null,
      "node_memory": whole(plan.memory.node),
      "traffic": object(TrafficKind.allCases.map { ($0.rawValue, whole(plan.traffic[$0])) }),
      "bytes_a_row": .int(plan.traffic.rowBytes),
      "seconds": object(TimeKind.allCases.map { ($0.rawValue, .double(plan.time[$0])) }),
      "step_seconds": .double(plan.secondsPerStep), "total_seconds": plan.seconds.map(JSON.double) ?? .null,
      "teacher_flops": .double(plan.time.teacherFLOPs),
      "student_flops": .double(plan.time.studentFLOPs),
      "bottleneck": [
        "kind": .string(bottleneck.kind.rawValue), "share": .double(bottleneck.share),
        "relief": .string(bottleneck.relief),
      ],
    ]
    if plan.stages.count > 1 { members["stages"] = .array(plan.stages.map(json)) }
    return .object(members)
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
