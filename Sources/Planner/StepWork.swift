/// The work of a training stage of a chain step, independent of the layout. Most steps have one stage.
package struct StepWork: Sendable {
  /// The name of the stage; nil for a step with one stage.
  package var stage: String?
  /// The model that is trained.
  package var student: any NetworkSizes
  /// The teachers; none for plain fine-tuning. The first one has the layout's placement, the others are resident.
  package var teachers: [any NetworkSizes]
  /// Of one optimizer step, over all ranks.
  package var load: TokenLoad
  /// Micro-batches of a rank's part.
  package var accumulation: Int
  /// The most tokens of one forward and backward pass.
  package var passTokens: Int
  /// The format of the student's passes.
  package var studentFormat: PlannedFormat
  /// The format of the first teacher's passes.
  package var teacherFormat: PlannedFormat
  /// The formats of the other teachers' passes; the first teacher's for missing ones.
  package var otherFormats: [PlannedFormat] = []
  /// The indices of the teachers whose values the stage's objectives read; nil for all. The others have memory and no
  /// passes.
  package var askedTeachers: Set<Int>?
  /// The size at which a gradient bucket is sent.
  package var bucketBytes: Int
  /// How gradients travel between nodes.
  package var gradientWire = PlannedFormat.fp32
  /// How updated weights that passes read rounded travel between nodes.
  package var weightWire = PlannedFormat.fp32
  /// Optimizer steps of the stage; nil if that depends on the data.
  package var steps: Int?
  /// k, in comparisons with top-k signals.
  package var topK: Int
  /// Floats per token that objectives inside the models keep in a pass: see `DistillationObjective.Needs`.
  package var innerFloats = 0
  /// Weights of the projections that these objectives train.
  package var innerWeights = 0
  /// Whether the student first passes over the whole batch, whose examples objectives compare with each other.
  package var comparesBatch = false

  /// Makes a work; see the properties.
  package init(
    student: any NetworkSizes, teachers: [any NetworkSizes], load: TokenLoad, accumulation: Int = 1,
    passTokens: Int = 2048, studentFormat: PlannedFormat = .bf16, teacherFormat: PlannedFormat = .bf16,
    bucketBytes: Int = 4 << 20, steps: Int? = nil, topK: Int = 64
  ) {
    self.student = student
    self.teachers = teachers
    self.load = load
    self.accumulation = accumulation
    self.passTokens = passTokens
    self.studentFormat = studentFormat
    self.teacherFormat = teacherFormat
    self.bucketBytes = bucketBytes
    self.steps = steps
    self.topK = topK
  }

  /// The first teacher.
  package var teacher: (any NetworkSizes)? { teachers.first }

  /// The teachers after the first one, with the formats of their passes and whether the stage reads them.
  var otherTeachers: [(sizes: any NetworkSizes, format: PlannedFormat, isAsked: Bool)] {
    teachers.indices.dropFirst().map { index in
      let format = otherFormats.indices.contains(index - 1) ? otherFormats[index - 1] : teacherFormat
      return (teachers[index], format, asks(index))
    }
  }

  /// Whether the stage reads a teacher.
  func asks(_ teacher: Int) -> Bool { askedTeachers?.contains(teacher) ?? true }

  /// The passes of a rank's part of an optimizer step, with `trainers` training ranks.
  func passes(trainers: Int) -> Passes {
    let parts = trainers * accumulation
    let ofPart = (load.sequences + parts - 1) / parts
    let atOnce = max(1, passTokens / max(load.length, 1))
    let ofMicroBatch = (ofPart + atOnce - 1) / atOnce
    let sequences = (ofPart + ofMicroBatch - 1) / max(ofMicroBatch, 1)
    return Passes(
      count: accumulation * ofMicroBatch, load: TokenLoad(sequences: sequences, length: load.length),
      rank: TokenLoad(sequences: accumulation * ofPart, length: load.length))
  }
}

extension StepWork {
  /// Tokens of a pass of a teacher group: those of the members' requests, fewer in a pipeline, so that all of its
  /// stages have passes at the same time.
  func teacherPass(_ layout: Layout, _ passes: Passes, trainers: Int) -> Int {
    let asking = layout.placement == .dedicated ? trainers : layout.teacherRanks
    let requested = passes.load.tokens * asking
    let wanted = layout.split == .tensor ? requested : max(256, requested / (3 * layout.teacherRanks))
    return max(load.length, min(2048, wanted))
  }
}

/// The passes of the rank that has the most.
struct Passes {
  /// The number of passes in an optimizer step.
  let count: Int
  /// The load of the largest pass.
  let load: TokenLoad
  /// The load of the rank in an optimizer step.
  let rank: TokenLoad
}
