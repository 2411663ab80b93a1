import Platform

extension Trace {
  /// Starts a timeline section named after the layer of the entry's weights, such as "layers.3".
  ///
  /// An entry without weights belongs to the section before it, which is the following layer of the model.
  static func enterLayer(of entry: TapeEntry) {
    guard wantsDetails else { return }
    if let parameter = entry.parameters.first {
      enterSection(layer(ofParameter: parameter.name))
    } else if !isInSection {
      enterSection("loss")
    }
  }

  /// The layer in a weight's name: "layers.3.attention.output.weight" is in "layers.3".
  static func layer(ofParameter name: String) -> String {
    let parts = name.split(separator: ".")
    guard parts.count > 1, parts[1].allSatisfy(\.isNumber) else { return parts.first.map(String.init) ?? name }
    return "\(parts[0]).\(parts[1])"
  }
}
