import Platform

extension ModelConfiguration {
  /// `sliding_window`, the tokens that a token of such a layer attends to; nil where it is null or not shorter than the
  /// context. Throws `.input` for anything but a positive whole number.
  ///
  /// - Parameter fallback: the value of a missing key.
  func window(default fallback: Int?, context: Int) throws -> Int? {
    guard let value = json["sliding_window"] else { return fallback.flatMap { $0 < context ? $0 : nil } }
    if value.isNull { return nil }
    let window = try size("sliding_window")
    return window < context ? window : nil
  }

  /// The layers with a window, where `use_sliding_window` is set: as `layer_types` lists, or from layer
  /// `max_window_layers` on, 28 if the key is missing, which smaller models do not reach.
  func requestedWindows(_ sizes: DecoderTraits.Sizes) throws -> [Int?] {
    guard try flag("use_sliding_window", default: false),
      let window = try window(default: 4096, context: sizes.context)
    else { return Array(repeating: nil, count: sizes.layers) }
    return try layerTypes(sizes.layers, default: laterLayers(sizes.layers)).map {
      $0 == "sliding_attention" ? window : nil
    }
  }

  /// The kinds of layers that `requestedWindows` follows, if any has a window.
  func requestedLayerTypes(_ count: Int) throws -> [String: [JSON]] {
    let isWindowed = try flag("use_sliding_window", default: false)
    if !isWindowed, json["layer_types"] == nil { return [:] }
    return [
      "layer_types": try layerTypes(
        count, default: isWindowed ? laterLayers(count) : .init(repeating: false, count: count))
    ]
  }

  private func laterLayers(_ count: Int) throws -> [Bool] {
    let first: Int
    switch json["max_window_layers"] {
    case .none, .some(.null): first = 28
    case .some(let value):
      guard let number = value.int else {
        throw RetortError(.input, "max_window_layers is \(value.text()), a whole number was expected", at: source)
      }
      first = number
    }
    return (0..<count).map { $0 >= first }
  }

  /// Rotary positions in all layers, each with its window.
  func rotaryLayers(windows: [Int?]) throws -> [DecoderLayerKind] {
    let rotary = try RotaryScaling(self)
    return windows.map { DecoderLayerKind(rotary: rotary, window: $0) }
  }
}
