extension ModelConfiguration {
  /// Layers of the model, or nil where the family has none; throws `.input` for a value that is no size.
  public var layerCount: Int? {
    get throws {
      switch family {
      case .bert, .bertHash: try BERTConfiguration(self).layerCount
      case .llama, .mistral, .qwen2: try LlamaConfiguration(self).layerCount
      case .perceptron: nil
      }
    }
  }

  /// How many texts of an example the model can tell apart, or nil where it reads no tokens.
  public var tokenTypes: Int? {
    switch family {
    case .bert, .bertHash: (try? BERTConfiguration(self))?.tokenTypes
    case .llama, .mistral, .qwen2: 1
    case .perceptron: nil
    }
  }

  /// The longest sequence that the model has positions for, or nil where there is no such limit.
  public var maximumPositions: Int? {
    switch family {
    case .bert, .bertHash: (try? BERTConfiguration(self))?.maximumPositions
    case .llama, .mistral, .qwen2: (try? LlamaConfiguration(self))?.maximumPositions
    case .perceptron: nil
    }
  }

  /// The number of token ids that the model has embeddings for, or nil where it reads no tokens.
  public var vocabularySize: Int? {
    switch family {
    case .bert, .bertHash: (try? BERTConfiguration(self))?.vocabularySize
    case .llama, .mistral, .qwen2: (try? LlamaConfiguration(self))?.vocabularySize
    case .perceptron: nil
    }
  }
}

extension ModelConfiguration {
  /// Family and sizes in a few words, such as "bert L4 H256".
  public var shapeText: String {
    switch family {
    case .bert, .bertHash:
      guard let bert = try? BERTConfiguration(self) else { return family.rawValue }
      return "\(family.rawValue) L\(bert.layerCount) H\(bert.hiddenSize)"
    case .llama, .mistral, .qwen2:
      guard let llama = try? LlamaConfiguration(self) else { return family.rawValue }
      return "\(family.rawValue) L\(llama.layerCount) H\(llama.hiddenSize) V\(llama.vocabularySize)"
    case .perceptron:
      guard let perceptron = try? PerceptronConfiguration(self) else { return family.rawValue }
      let sizes = [perceptron.inputSize] + perceptron.hiddenSizes + [perceptron.classCount]
      return "perceptron " + sizes.map(String.init).joined(separator: "-")
    }
  }
}
