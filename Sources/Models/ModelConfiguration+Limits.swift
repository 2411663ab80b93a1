extension ModelConfiguration {
  /// The number of layers, or nil if the family has none; throws `.input` for an invalid size.
  package var layerCount: Int? {
    get throws {
      switch family {
      case .bert, .bertHash: try BERTConfiguration(self).layerCount
      case .llama, .mistral, .qwen2: try LlamaConfiguration(self).layerCount
      case .perceptron: nil
      }
    }
  }

  /// The number of texts in an example that the model distinguishes, or nil if it reads no tokens.
  package var tokenTypes: Int? {
    switch family {
    case .bert, .bertHash: (try? BERTConfiguration(self))?.tokenTypes
    case .llama, .mistral, .qwen2: 1
    case .perceptron: nil
    }
  }

  /// The longest sequence for which the model has positions, or nil if there is no limit.
  package var maximumPositions: Int? {
    switch family {
    case .bert, .bertHash: (try? BERTConfiguration(self))?.maximumPositions
    case .llama, .mistral, .qwen2: (try? LlamaConfiguration(self))?.maximumPositions
    case .perceptron: nil
    }
  }

  /// The number of token embeddings, or nil if the model reads no tokens.
  package var vocabularySize: Int? {
    switch family {
    case .bert, .bertHash: (try? BERTConfiguration(self))?.vocabularySize
    case .llama, .mistral, .qwen2: (try? LlamaConfiguration(self))?.vocabularySize
    case .perceptron: nil
    }
  }
}

extension ModelConfiguration {
  /// Family and sizes in a few words, such as "bert L4 H256".
  package var shapeText: String {
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
