import Platform

extension Trace {
  /// Records the part of a backward pass that now begins under the layer of its weights, such as "layers.3".
  ///
  /// An entry without weights counts to the layer behind it in the model, which came before it in this pass.
  static func enterLayer(of entry: TapeEntry) {
    guard wantsDetails else { return }
    if let parameter = entry.parameters.first {
      enterSection(layer(ofParameter: parameter.name))
    } else if !isInSection {
      enterSection("loss")
    }
  }

  /// The part of a weight's name that tells the layer: "layers.3.attention.output.weight" is in "layers.3".
  static func layer(ofParameter name: String) -> String {
    let parts = name.split(separator: ".")
    guard parts.count > 1, parts[1].allSatisfy(\.isNumber) else { return parts.first.map(String.init) ?? name }
    return "\(parts[0]).\(parts[1])"
  }
}
